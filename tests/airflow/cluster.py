"""A Kubernetes API of this machine: the handful of calls that a fit's job needs, over HTTP.

It holds what it is told and runs nothing by itself. What the cluster does is a test's to say: each
time that a job is looked at, the next of its `steps` is taken.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

OBJECTS = re.compile(
    r"/apis/(?P<api>[\w./]+)/namespaces/(?P<space>[\w-]+)/(?P<plural>\w+)(/(?P<name>[\w-]+))?$"
)
PODS = re.compile(r"/api/v1/namespaces/[\w-]+/pods(/(?P<name>[\w-]+)/log)?$")
INSTANCE = "app.kubernetes.io/instance"
UNSCHEDULABLE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def now(hours_ago: float = 0) -> str:
    """Return a time as the API writes it."""
    return f"{datetime.now(UTC) - timedelta(hours=hours_ago):%Y-%m-%dT%H:%M:%SZ}"


@dataclass
class Cluster:
    """What there is in the cluster, what was asked of it, and what happens next."""

    port: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    steps: list[Callable[[], None]] = field(default_factory=list)
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Answer to a method instead of what it asks: a status and a message."""
    on_create: Callable[[dict[str, Any]], None] = lambda _: None
    on_remove: Callable[[str], None] = lambda _: None
    _answers: int = 0
    """Requests yet to be cut off without an answer."""

    @property
    def connection(self) -> dict[str, Any]:
        """How Airflow reaches it."""
        name = {"name": "here"}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{**name, "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{**name, "user": {"token": "t"}}],
            "contexts": [{**name, "context": {"cluster": "here", "user": "here"}}],
        }  # fmt: skip
        extra = {
            "kube_config": config, "namespace": "nightscore", "image": "nightscore-fit:0.1.0",
            "volume_claim": "nightscore-home",
        }  # fmt: skip
        return {"conn_type": "generic", "host": "kubernetes", "extra": extra}

    def calls(self, method: str) -> list[str]:
        """Return what was asked by a method, as paths."""
        return [line.partition(" ")[2] for line in self.asked if line.startswith(f"{method} ")]

    def pod(self, job: str, *, hours_ago: float = 0, role: str = "leader", more: str = "0") -> str:
        """Have a pod of a job, which no node has room for."""
        name = f"{job}-{role}-{more}"
        self.pods[name] = {
            "metadata": {
                "name": name, "creationTimestamp": now(hours_ago),
                "labels": {INSTANCE: job, "app.kubernetes.io/component": role},
            },
            "status": {
                "phase": "Pending",
                "conditions": [{
                    "type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": UNSCHEDULABLE,
                }],
            },
        }  # fmt: skip
        return name

    def state(self, pod: str, **state: Any) -> None:
        """Put a pod's container in a state: waiting, running or terminated."""
        self.pods[pod]["status"] = {
            "phase": "Running",
            "containerStatuses": [{
                "name": "pytorch", "image": "i", "imageID": "", "ready": True, "restartCount": 0,
                "state": state,
            }],
        }  # fmt: skip

    def run(self, pod: str, *lines: str) -> None:
        """Have a pod's container run, and print lines."""
        self.state(pod, running={"startedAt": now()})
        self.print(pod, *lines)

    def print(self, pod: str, *lines: str) -> None:
        """Have a container print lines."""
        log = self.logs.setdefault(pod, [])
        for line in lines:
            log.append(f"2026-11-30T01:00:00.{len(log):09d}Z {line}")

    def end(self, pod: str, exit_code: int, said: str = "", reason: str = "") -> None:
        """Have a container end, and its job with it."""
        job = self.jobs[self.pods[pod]["metadata"]["labels"][INSTANCE]]
        self.state(
            pod,
            terminated={
                "exitCode": exit_code,
                "message": said,
                "reason": reason or ("Error" if exit_code else "Completed"),
            },
        )
        done = "Succeeded" if job["kind"] == "PyTorchJob" else "Complete"
        why = {"reason": "BackoffLimitExceeded", "message": "Job has reached its limit"}
        job["status"] = {
            "conditions": [{"type": "Failed" if exit_code else done, "status": "True", **why}]
        }

    def vanish(self, job: str) -> None:
        """Have a job gone, with its pods."""
        del self.jobs[job]
        for name in [n for n, p in self.pods.items() if p["metadata"]["labels"][INSTANCE] == job]:
            del self.pods[name]

    def hang_up(self, requests: int) -> None:
        """Cut so many of the next requests off."""
        self._answers = requests

    def answer(
        self, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> tuple[int, Any]:
        """Return status and content of an answer; no status cuts the request off."""
        self.asked.append(f"{method} {path}")
        if self._answers:
            self._answers -= 1
            return 0, None
        if method in self.refuses:
            status, message = self.refuses[method]
            return status, {"kind": "Status", "code": status, "message": message}
        selector = dict(
            part.split("=") for part in query.get("labelSelector", "").split(",") if part
        )
        of_pods = PODS.match(path)
        if of_pods and of_pods["name"]:
            return 200, "\n".join(self.logs.get(of_pods["name"], []))
        if of_pods:
            return 200, {"kind": "PodList", "apiVersion": "v1", "items": _with(self.pods, selector)}
        asked = OBJECTS.match(path)
        assert asked is not None, path
        if method == "POST":
            return self._create(asked["api"], body)
        if asked["name"] is None:
            return 200, {"kind": "List", "items": _with(self.jobs, selector)}
        if method == "GET" and self.steps:
            self.steps.pop(0)()
        if asked["name"] not in self.jobs:
            return 404, {"kind": "Status", "code": 404, "message": f"{asked['name']} not found"}
        if method == "DELETE":
            assert query["propagationPolicy"] == "Foreground"
            self.jobs[asked["name"]]["metadata"]["deletionTimestamp"] = now()
            self.on_remove(asked["name"])
        return 200, self.jobs.get(asked["name"], {})

    def _create(self, api: str, body: dict[str, Any]) -> tuple[int, Any]:
        assert body["apiVersion"] == api
        name = body["metadata"]["name"]
        if name in self.jobs:
            return 409, {"kind": "Status", "code": 409, "message": f"{name} already exists"}
        meta = {**body["metadata"], "creationTimestamp": now()}
        self.jobs[name] = {**body, "metadata": meta, "status": {}}
        self.on_create(self.jobs[name])
        return 201, self.jobs[name]


@contextmanager
def serving() -> Iterator[Cluster]:
    """Yield a cluster whose API is served on this machine."""
    cluster = Cluster()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    cluster.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()


def _with(objects: Mapping[str, dict[str, Any]], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        each for each in objects.values() if labels.items() <= each["metadata"]["labels"].items()
    ]


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            status, content = cluster.answer(self.command, url.path, query, body)
            if not status:
                self.close_connection = True
                return
            is_text = isinstance(content, str)
            told = (content if is_text else json.dumps(content)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if is_text else "application/json")
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    return Handler
