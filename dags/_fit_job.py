"""A fit's job in a Kubernetes cluster: made once, looked at, removed.

The only file that imports Kubernetes' client; imported where a task runs, never where DAGs are
parsed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
from airflow.sdk.exceptions import AirflowException
from kubernetes_asyncio.client import ApiClient, CoreV1Api, CustomObjectsApi
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config import ConfigException

from dags._fit_manifest import COMPONENT, CONTAINER, INSTANCE, LEADER, RUN
from dags._fit_place import CONNECTION

log = logging.getLogger(__name__)

UNREACHABLE = (aiohttp.ClientError, OSError, TimeoutError)
SUCCEEDED, FAILED = frozenset({"Complete", "Succeeded"}), frozenset({"Failed"})
LOG_LINES = 2000
"""Of a log that was not read for a while, this many of the last lines are read."""


class Refused(Exception):
    """The cluster does not do what it is asked, and would not if it were asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """What there is to know of a pod."""

    name: str
    created: datetime
    leads: bool
    """Whether its processes lead those of the other pods, if there are any."""
    has_started: bool
    """Whether its container runs, or ran."""
    waits_for: str
    """Why it does not run yet."""
    exit_code: int | None
    """Of its container, once that ended."""
    said: str
    """What the container left as it ended: a receipt, or its last lines."""
    killed_by: str
    """`OOMKilled` and the like."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What there is to know of a job."""

    name: str
    created: datetime
    is_going: bool
    """Whether it is being removed."""
    has_succeeded: bool
    has_failed: bool
    why: str
    """What its controller says of its failure."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will run any more."""
        return self.has_succeeded or self.has_failed


def is_passing(error: ApiException) -> bool:
    """Return whether the API may well answer the same question later."""
    return error.status is None or error.status == 429 or error.status >= 500


def refusal(error: ApiException, what: str) -> Refused:
    """Return what the cluster said of a request that it refuses."""
    said = str(error.body or error.reason or "").strip()
    return Refused(f"the cluster refuses to {what}: {error.status} {said[:600]}")


@asynccontextmanager
async def reached(manifest: Mapping[str, Any]) -> AsyncIterator[FitJob]:
    """Yield the job of a manifest in the cluster that the connection says.

    Raises:
        Refused: the connection says no cluster.
    """
    async with AsyncExitStack() as stack:
        try:
            hook = AsyncKubernetesHook(conn_id=CONNECTION)
            client = await stack.enter_async_context(hook.get_conn())
        except (ConfigException, AirflowException) as error:
            raise Refused(f"connection {CONNECTION} says no cluster: {error}") from error
        yield FitJob(client, manifest)


class FitJob:
    """The job of a manifest, or of an earlier try of the same, and its pods."""

    def __init__(self, client: ApiClient, manifest: Mapping[str, Any]) -> None:
        """Ask nothing yet."""
        self._objects, self._core = CustomObjectsApi(client), CoreV1Api(client)
        self._manifest = dict(manifest)
        meta = manifest["metadata"]
        self.name: str = meta["name"]
        self._namespace = meta["namespace"]
        self._run = meta["labels"][RUN]
        group, _, version = manifest["apiVersion"].partition("/")
        self._kind = {
            "group": group, "version": version, "namespace": self._namespace,
            "plural": f"{manifest['kind'].lower()}s",
        }  # fmt: skip

    @property
    def described(self) -> str:
        """What it is and where, for a person."""
        return f"{self._manifest['kind']} {self._namespace}/{self.name}"

    async def of_run(self) -> list[Job]:
        """Return the jobs of all tries of the run, the oldest first.

        Raises:
            Refused: the account may not list them.
        """
        try:
            found = await self._objects.list_namespaced_custom_object(
                **self._kind, label_selector=f"{RUN}={self._run}"
            )
        except ApiException as error:
            raise _told(error, f"list {self._kind['plural']}") from error
        return sorted(map(_job, found["items"]), key=lambda job: job.created)

    async def create(self) -> None:
        """Make the job; one of its name that is there already is left as it is.

        Raises:
            Refused: the manifest or the account is not good enough.
        """
        try:
            await self._objects.create_namespaced_custom_object(**self._kind, body=self._manifest)
        except ApiException as error:
            if error.status == 409:
                return
            raise _told(error, f"make {self.described}") from error

    async def look(self, name: str) -> Job | None:
        """Return a job as it is now, or None if there is none of that name.

        Raises:
            Refused: the account may not look at it.
        """
        try:
            return _job(await self._objects.get_namespaced_custom_object(**self._kind, name=name))
        except ApiException as error:
            if error.status == 404:
                return None
            raise _told(error, f"show {name}") from error

    async def pods(self, name: str) -> list[Pod]:
        """Return the pods of a job, the oldest first.

        Raises:
            Refused: the account may not look at pods.
        """
        selector = f"{INSTANCE}={name}"
        try:
            found = await self._core.list_namespaced_pod(self._namespace, label_selector=selector)
        except ApiException as error:
            raise _told(error, "list pods") from error
        return sorted(map(_pod, found.items), key=lambda pod: pod.created)

    async def log(self, pod: Pod, seconds: int | None) -> list[str]:
        """Return the lines of a pod's log, each after its time; those of the last seconds only.

        A log that cannot be had, since its node is gone say, has no lines: it decides nothing.
        """
        limits = {"since_seconds": seconds} if seconds else {"tail_lines": LOG_LINES}
        try:
            text = await self._core.read_namespaced_pod_log(
                pod.name, self._namespace, container=CONTAINER, timestamps=True, **limits
            )
        except ApiException as error:
            log.warning("the log of pod %s cannot be read: %s", pod.name, error.reason)
            return []
        return str(text).splitlines()

    async def remove(self, name: str) -> None:
        """Remove a job; its pods are asked to stop, and it is gone when they have.

        Raises:
            Refused: the account may not.
        """
        try:
            await self._objects.delete_namespaced_custom_object(
                **self._kind, name=name, propagation_policy="Foreground"
            )
        except ApiException as error:
            if error.status != 404:
                raise _told(error, f"remove {name}") from error


def _told(error: ApiException, what: str) -> Exception:
    """Return what to raise of an error of the API: a refusal, unless it may pass."""
    return error if is_passing(error) else refusal(error, what)


def _job(content: Mapping[str, Any]) -> Job:
    meta = content["metadata"]
    conditions = {
        condition["type"]: condition
        for condition in content.get("status", {}).get("conditions") or ()
        if condition["status"] == "True"
    }
    failed = next((conditions[name] for name in FAILED if name in conditions), {})
    return Job(
        name=meta["name"],
        created=datetime.fromisoformat(meta["creationTimestamp"]).astimezone(UTC),
        is_going="deletionTimestamp" in meta,
        has_succeeded=bool(SUCCEEDED & conditions.keys()),
        has_failed=bool(failed),
        why=": ".join(filter(None, (failed.get("reason"), failed.get("message")))),
    )


def _pod(content: Any) -> Pod:
    status = content.status
    container = next(
        (each for each in status.container_statuses or () if each.name == CONTAINER), None
    )
    state = container.state if container else None
    ended = state.terminated if state else None
    return Pod(
        name=content.metadata.name,
        created=content.metadata.creation_timestamp,
        leads=content.metadata.labels[COMPONENT] == LEADER,
        has_started=bool(ended or (state and state.running)),
        waits_for=_reason(status, state),
        exit_code=ended.exit_code if ended else None,
        said=(ended.message or "").strip() if ended else "",
        killed_by=(ended.reason or "") if ended else "",
    )


def _reason(status: Any, state: Any) -> str:
    waits = [state.waiting] if state and state.waiting else []
    waits += [each for each in status.conditions or () if each.status == "False"]
    told = (": ".join(filter(None, (each.reason, each.message))) for each in waits)
    return next(filter(None, told), status.phase)
