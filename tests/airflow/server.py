"""A real Airflow for tests: started by infra/airflow.sh, asked through its REST API, stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.machine.spark import QUICK_JAVA

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dags", "feature_store", "infra", "jobs", "models")
ENDED = {"success", "failed"}


def copy_of_the_code(target: Path, changed: str, changes: Mapping[str, str]) -> Path:
    """Return a checkout with the same environments, and `changes` (old: new) in one file."""
    target.mkdir(parents=True)
    for name in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in (".venv", ".venv-airflow"):
        (target / name).symlink_to(ROOT / name)
    text = (target / changed).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (target / changed).write_text(text)
    return target


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without what would steer Airflow, Spark or nightscore."""
    prefixes = ("AIRFLOW", "NIGHTSCORE", "PYSPARK", "SPARK", "PYTEST")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    return {**kept, "JDK_JAVA_OPTIONS": QUICK_JAVA, **changes}


@dataclass
class Airflow:
    """Airflow as `make airflow` starts it, for one home."""

    code: Path
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[str] | None = None
    _token: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """What infra/airflow.sh is called with."""
        own = {"NIGHTSCORE_HOME": str(self.home), "AIRFLOW_PORT": str(self.port)}
        return clean_environment(**own, **self.settings)

    @property
    def output(self) -> Path:
        """What infra/airflow.sh said."""
        return self.home / "airflow.out"

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self.home.mkdir(parents=True, exist_ok=True)
        with self.output.open("w") as output:
            self._process = subprocess.Popen(
                [self.code / "infra" / "airflow.sh"],
                env=self.environment, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, text=True,
            )  # fmt: skip

    def wait_until_ready(self, seconds: float = 400) -> None:
        """Return when it says that it is ready, with its health endpoint healthy."""
        wait_for(lambda: "ready at" in self.said(), seconds, self.said)
        passwords = self.home / "airflow" / "simple_auth_manager_passwords.json.generated"
        password = json.loads(passwords.read_text())["admin"]
        login = {"username": "admin", "password": password}
        self._token = self.call("POST", "/auth/token", login)["access_token"]

    def said(self) -> str:
        """What infra/airflow.sh said so far; raises if it ended."""
        text = self.output.read_text()
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"Airflow ended with {self._process.returncode}:\n{text}")
        return text

    def stop(self) -> None:
        """Stop it, as ctrl-C does; what does not stop by itself is killed."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run infra/airflow.sh with arguments."""
        return subprocess.run(
            [self.code / "infra" / "airflow.sh", *arguments],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from error
        return json.loads(text) if text[:1] in ("{", "[") else text

    def switch_on(self, dag_id: str) -> None:
        """Unpause a DAG."""
        self.call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, ds: str, **conf: Any) -> str:
        """Trigger a run for a day, and return its id."""
        body = {"logical_date": f"{ds}T00:00:00Z", "conf": conf}
        return str(self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> dict[str, dict[str, Any]]:
        """Return the runs of a DAG by the day that they are about."""
        found = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]
        return {run["logical_date"][:10]: run for run in found}

    def wait_for_runs(self, dag_id: str, days: list[str], seconds: float) -> dict[str, str]:
        """Wait until the runs of all days have ended, and return their states."""

        def ended() -> bool:
            runs = self.runs(dag_id)
            return all(day in runs and runs[day]["state"] in ENDED for day in days)

        wait_for(ended, seconds, lambda: f"{self.runs(dag_id)}\n{self.said()}")
        return {day: self.runs(dag_id)[day]["state"] for day in days}

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Return a run's tasks by the last part of their ids."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{urllib.request.quote(run_id)}/taskInstances"
        found = self.call("GET", f"{path}?limit=100")["task_instances"]
        return {task["task_id"].rpartition(".")[2]: task for task in found}

    def clear(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """Clear one task of a run, whatever its state, and return what was cleared."""
        body = {
            "dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False,
        }  # fmt: skip
        found = self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)
        return [task["task_id"] for task in found["task_instances"]]

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the log of a task's latest try."""
        task = self.tasks(dag_id, run_id)[task_id.rpartition(".")[2]]
        run = urllib.request.quote(run_id)
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run}/taskInstances/{task_id}/logs"
        return json.dumps(self.call("GET", f"{path}/{task['try_number']}?full_content=true"))


def wait_for(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Return when the condition holds; fail with an explanation when it did not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {explain()}")
        time.sleep(1)
