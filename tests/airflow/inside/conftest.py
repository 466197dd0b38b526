"""Airflow with a home and a database of its own, and a spark-submit that only plays a part."""

from __future__ import annotations

import copy
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
FAKE = ROOT / "tests" / "airflow" / "fake_spark_submit.py"
FILES = ("nightly", "train", "backfill", "maintenance")
LOCAL = {"conn_type": "spark", "host": "local[*]", "extra": {"conf": {"spark.ui.enabled": "false"}}}

# Airflow reads these when it is first imported.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="nightscore-airflow-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(ROOT / "dags")


@dataclass(frozen=True)
class Parsed:
    """What parsing the DAG files came to."""

    dags: dict[str, Any]
    errors: dict[str, str]
    cpu_seconds: dict[str, float]
    modules: set[str]
    """Top-level modules that parsing brought."""


@pytest.fixture(scope="session")
def parsed() -> Parsed:
    """Every DAG of the repository, each file parsed as the DAG processor does it."""
    import sys

    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(ROOT / "dags"), collect_dags=False)
    before, seconds = set(sys.modules), {}
    for name in FILES:
        start = time.process_time()
        bag.process_file(str(ROOT / "dags" / f"{name}.py"))
        seconds[name] = time.process_time() - start
    brought = {name.split(".")[0] for name in set(sys.modules) - before}
    return Parsed(dict(bag.dags), dict(bag.import_errors), seconds, brought)


@pytest.fixture(scope="session")
def database() -> None:
    """A migrated database with the pool, and no DAG in it."""
    from airflow.models.pool import Pool
    from airflow.utils.db import initdb

    initdb()
    Pool.create_or_update_pool("spark", slots=1, description="", include_deferred=False)


@dataclass(frozen=True)
class FakeSpark:
    """What the stand-in for spark-submit was called with, and how to make it fail."""

    log: Path
    patch: pytest.MonkeyPatch

    def calls(self) -> list[dict[str, Any]]:
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def fail(self, step: str, error: str, text: str, *, final: bool) -> None:
        failure = {"step": step, "error": error, "text": text, "final": final}
        self.patch.setenv("FAKE_FAIL", json.dumps(failure))

    def connect(self, connection: dict[str, Any]) -> None:
        self.patch.setenv("AIRFLOW_CONN_NIGHTSCORE_SPARK", json.dumps(connection))


@pytest.fixture
def spark_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSpark:
    """The stand-in for spark-submit, connected as `local[*]`."""
    monkeypatch.setenv("NIGHTSCORE_SPARK_SUBMIT", str(FAKE))
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls.jsonl"))
    fake = FakeSpark(tmp_path / "calls.jsonl", monkeypatch)
    fake.connect(LOCAL)
    return fake


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What was posted to the webhook: a real server on this machine."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    messages: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            messages.append(json.loads(self.rfile.read(length)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NIGHTSCORE_ALERT_URL", f"http://127.0.0.1:{server.server_port}/hook")
    yield messages
    server.shutdown()


@pytest.fixture
def render(parsed: Parsed) -> Callable[..., list[str]]:
    """Return a task's command as it would be for a context."""

    def of(dag_id: str, task_id: str, **context: Any) -> list[str]:
        task = parsed.dags[dag_id].get_task(task_id)
        env = parsed.dags[dag_id].get_template_env()
        macros = parsed.dags[dag_id].user_defined_macros or {}
        first = SimpleNamespace(try_number=1, max_tries=task.retries)
        defaults = {"run_id": "r", "ti": first, "task": task, **macros}
        rendered = copy.copy(task)
        for field in ("arguments", "repeated"):
            value = task.render_template(getattr(task, field), {**defaults, **context}, env)
            setattr(rendered, field, value)
        return rendered.command()

    return of
