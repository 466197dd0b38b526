"""Watches over a fit in a cluster from Airflow's triggerer: no worker waits while a pod does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from dags._failures import MALFORMED, failed, with_failure

if TYPE_CHECKING:
    from dags._fit_job import FitJob, Job, Pod

log = logging.getLogger(__name__)

POLL_SECONDS = 10.0
GONE_MINUTES = 60.0
"""How long the API may be away before the task gives up; what runs in the cluster runs on."""
OVERLAP_SECONDS = 60
"""How much of a log is read once more, so that clocks that disagree lose no line."""


class FitTrigger(BaseTrigger):
    """Makes the job of a manifest, unless an earlier try's still runs, and waits for its end.

    Its one event is the receipt of the fit.
    """

    def __init__(
        self,
        *,
        manifest: dict[str, Any],
        wait_hours: float,
        poll_seconds: float = POLL_SECONDS,
        gone_minutes: float = GONE_MINUTES,
    ) -> None:
        super().__init__()
        self.manifest = manifest
        self.wait_hours = wait_hours
        self.poll_seconds = poll_seconds
        self.gone_minutes = gone_minutes

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger anew in another process."""
        return (
            "dags._fit_trigger.FitTrigger",
            {
                "manifest": self.manifest,
                "wait_hours": self.wait_hours,
                "poll_seconds": self.poll_seconds,
                "gone_minutes": self.gone_minutes,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the receipt once the fit has ended."""
        # Imported late: no task needs the client that places its fits elsewhere.
        from dags import _fit_job

        watch = _Watch(timedelta(hours=self.wait_hours))
        answered = datetime.now(UTC)
        while True:
            try:
                async with _fit_job.reached(self.manifest) as job:
                    answered, receipt = datetime.now(UTC), await watch.look(job)
            except _fit_job.Refused as error:
                receipt = _failed("ClusterRefused", str(error), final=True)
            except (*_fit_job.UNREACHABLE, _fit_job.ApiException) as error:
                receipt = self._unanswered(error, datetime.now(UTC) - answered)
            if receipt is not None:
                yield TriggerEvent(receipt)
                return
            await asyncio.sleep(self.poll_seconds)

    async def on_kill(self) -> None:
        """Remove the job: its pods get SIGTERM, and leave a checkpoint."""
        from dags import _fit_job

        async with _fit_job.reached(self.manifest) as job:
            for each in await job.of_run():
                if not each.is_over:
                    log.info("the task was stopped: removing %s", each.name)
                    await job.remove(each.name)

    def _unanswered(self, error: BaseException, away: timedelta) -> dict[str, Any] | None:
        told = f"{type(error).__name__}: {str(error).strip()[:300]}"
        log.warning("the cluster does not answer: %s", told)
        if away < timedelta(minutes=self.gone_minutes):
            return None
        return _failed(
            "ClusterGone",
            f"no answer for {self.gone_minutes:g} minutes: {told}. The fit may still run; a retry "
            "finds it",
        )


class _Watch:
    """What a watch over one fit remembers from one look to the next."""

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience
        self._name = ""
        self._note = ""
        self._pod = ""
        self._last_line = ""
        self._read_at: datetime | None = None

    async def look(self, job: FitJob) -> dict[str, Any] | None:
        """Go on by a step, and return the receipt if the fit has ended.

        Raises:
            Refused: the cluster does not let us.
        """
        if not self._name and not await self._begin(job):
            return None
        found = await job.look(self._name)
        if found is None:
            return _failed("JobRemoved", f"{self._name} was removed before it ended")
        pods = await job.pods(self._name)
        leader = next((pod for pod in reversed(pods) if pod.leads), None)
        if leader is not None and leader.has_started:
            await self._tell_log(job, leader)
        if found.is_over:
            return _receipt(found, leader)
        waiting = next((pod for pod in pods if not pod.has_started), None)
        if leader is None or waiting is not None:
            return await self._wait(job, found, waiting)
        self._say(f"pod {leader.name} runs")
        return None

    async def _begin(self, job: FitJob) -> bool:
        """Take the job of an earlier try that still runs, or make one; not while one is going."""
        mine, running = job.name, None
        for each in await job.of_run():
            if each.is_going:
                self._say(f"{each.name} is being stopped; this one begins when it is gone")
                return False
            if each.name == mine or not each.is_over:
                running = each
        if running is None:
            await job.create()
            log.info("made %s", job.described)
        else:
            log.info("found %s, which an earlier try made", running.name)
        self._name = running.name if running else mine
        return True

    async def _wait(self, job: FitJob, found: Job, pod: Pod | None) -> dict[str, Any] | None:
        """Say what a fit waits for, until its patience ends."""
        why = f"pod {pod.name}: {pod.waits_for}" if pod else "it has no pod yet"
        self._say(f"{found.name} waits: {why}")
        since = pod.created if pod else found.created
        if datetime.now(UTC) - since < self._patience:
            return None
        await job.remove(found.name)
        hours = self._patience / timedelta(hours=1)
        return _failed(
            "NoNode",
            f"{found.name} waited {hours:g} hours for a node, and was removed: {why}. Mend the "
            "pool, or raise wait_hours in the connection, and clear the task",
            final=True,
        )

    async def _tell_log(self, job: FitJob, pod: Pod) -> None:
        """Log what the leader has printed since it was last asked."""
        if pod.name != self._pod:
            self._pod, self._last_line, self._read_at = pod.name, "", None
        now = datetime.now(UTC)
        ago = (now - self._read_at).total_seconds() if self._read_at else None
        told_until = self._last_line
        for line in await job.log(pod, None if ago is None else int(ago) + OVERLAP_SECONDS):
            when, _, text = line.partition(" ")
            if when > told_until:
                self._last_line = when
                log.info("%s", text)
        self._read_at = now

    def _say(self, note: str) -> None:
        if note != self._note:
            log.info("%s", note)
            self._note = note


def _receipt(job: Job, pod: Pod | None) -> dict[str, Any]:
    """Return what a fit that ended left, or what is known of one that could leave nothing."""
    receipt = _left(pod.said) if pod else None
    if job.has_succeeded:
        return receipt or {"steps": {}}
    if pod is None or pod.exit_code is None:
        return _failed("ApplicationDied", f"{job.name} failed: {job.why or 'no reason known'}")
    told = f"{pod.killed_by}: " if pod.killed_by not in ("", "Error") else ""
    ended = f"{pod.said}\n{told}exit code {pod.exit_code} of pod {pod.name}".strip()
    return with_failure(receipt or {"steps": {}}, ended, final=pod.exit_code == MALFORMED)


def _left(said: str) -> dict[str, Any] | None:
    """Return the receipt that a container left; None if it left only its last lines."""
    try:
        content = json.loads(said)
    except json.JSONDecodeError:
        return None
    return content if isinstance(content, dict) and "steps" in content else None


def _failed(error: str, text: str, *, final: bool = False) -> dict[str, Any]:
    return {"steps": {}, **failed(error, text, final=final)}
