"""A training through a real scheduler: three tasks, and `fit` where its connection says.

The cluster is an API of this machine, and its only node runs a pod's command as a process.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.cluster import UNSCHEDULABLE, Cluster, serving
from tests.airflow.server import ROOT, Airflow, clean_environment, copy_of_the_code, wait_for

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1800)]

DAG, DAY = "train_flights", "2013-11-28"
CHANGED = "feature_store/definitions/flights.py"
CHANGES = {
    # A week is enough to learn from for what is looked at here, and what it learns passes.
    "validation_days=21": "validation_days=2",
    'Gate(min_auc=0.6, segments=("carrier", "origin"))': "Gate(min_auc=0.0, max_ece=1.0)",
}
FORM = {"model": "lr", "first": "2013-11-20", "last": "2013-11-25", "judged": "2013-11-27"}


@dataclass
class Node:
    """The cluster's one node: runs a pod's command as a process, while it is switched on."""

    cluster: Cluster
    code: Path
    place: Path
    is_on: bool = False
    threads: list[threading.Thread] = field(default_factory=list)

    def on_create(self, job: dict[str, Any]) -> None:
        """Have the pod of a new job, and run it."""
        pod = self.cluster.pod(job["metadata"]["name"])
        if self.is_on:
            self.threads.append(threading.Thread(target=self._run, args=(job, pod)))
            self.threads[-1].start()

    def _run(self, job: dict[str, Any], pod: str) -> None:
        (container,) = job["spec"]["template"]["spec"]["containers"]
        receipt = self.place / f"{pod}.json"
        receipt.touch()
        *arguments, last = container["args"]
        assert last == f"--receipt={container['terminationMessagePath']}"
        told = {each["name"]: each["value"] for each in container["env"]}
        self.cluster.run(pod)
        done = subprocess.run(
            [*container["command"], *arguments, f"--receipt={receipt}"],
            env=clean_environment(PYTHONPATH=str(self.code), **told),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.cluster.print(pod, *done.stdout.splitlines())
        self.cluster.end(pod, done.returncode, receipt.read_text())


@dataclass(frozen=True)
class Training:
    """Airflow, with the run of a training, and a cluster that it may be sent to."""

    airflow: Airflow
    run_id: str
    node: Node

    def tries(self) -> dict[str, int]:
        """Return how often each task was tried."""
        tasks = self.airflow.tasks(DAG, self.run_id)
        return {name: task["try_number"] for name, task in tasks.items()}

    def fit(self) -> dict[str, Any]:
        """Return the task `fit` as it is now."""
        return self.airflow.tasks(DAG, self.run_id)["fit"]

    def wait_for_fit(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 300) -> None:
        """Wait until `fit` is as wanted."""
        wait_for(lambda: wanted(self.fit()), seconds, lambda: f"{self.fit()}\n{self.log()}")

    def log(self) -> str:
        """Return the log of the latest try of `fit`."""
        return self.airflow.log(DAG, self.run_id, "fit")

    def connect(self, connection: dict[str, Any]) -> None:
        """Say where models are fitted from now on."""
        told = {**connection, "extra": json.dumps(connection["extra"])}
        path = "/api/v2/connections/nightscore_fit"
        self.airflow.call("PATCH", path, {"connection_id": "nightscore_fit", **told})


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    if not (ROOT / ".venv-airflow" / "bin" / "airflow").exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    base = tmp_path_factory.mktemp("airflow")
    code = copy_of_the_code(base / "code", CHANGED, CHANGES)
    airflow = Airflow(code, base / "home")
    airflow.start()
    with serving() as cluster:
        node = Node(cluster, code, base)
        cluster.on_create, cluster.on_remove = node.on_create, cluster.vanish
        try:
            airflow.wait_until_ready()
            run_id = airflow.trigger(DAG, DAY, **FORM)
            airflow.switch_on(DAG)
            yield Training(airflow, run_id, node)
        finally:
            airflow.stop()
            for thread in node.threads:
                thread.join(60)


def _give_up_the_latest_week(airflow: Airflow) -> None:
    """A DAG that is switched on runs its latest week, which here would be nine months of rows."""

    def others() -> list[str]:
        runs = airflow.runs(DAG)
        return [run["dag_run_id"] for day, run in runs.items() if day != DAY]

    wait_for(lambda: bool(others()), 120, lambda: str(airflow.runs(DAG)))
    for run_id in others():
        path = f"/api/v2/dags/{DAG}/dagRuns/{run_id.replace('+', '%2B')}"
        airflow.call("PATCH", path, {"state": "failed"})


def test_a_training_is_three_green_tasks_and_its_fit_needs_no_spark(training: Training) -> None:
    airflow = training.airflow
    _give_up_the_latest_week(airflow)
    assert airflow.wait_for_runs(DAG, [DAY], 900) == {DAY: "success"}
    assert training.tries() == {"freeze": 1, "fit": 1, "judge": 1}
    log = training.log()
    assert "epoch 1: train loss" in log
    assert "spark-submit" not in log
    assert "spark-submit" in airflow.log(DAG, training.run_id, "freeze")
    (registered,) = (airflow.home / "trainings" / "flights").glob("*/registered.json")
    assert Path(json.loads(registered.read_text())["bundle"]).is_dir()


def test_a_fit_cleared_alone_runs_alone_and_finds_its_bundle(training: Training) -> None:
    airflow = training.airflow
    assert airflow.clear(DAG, training.run_id, "fit") == ["fit"]
    assert airflow.wait_for_runs(DAG, [DAY], 600) == {DAY: "success"}
    assert training.tries() == {"freeze": 1, "fit": 2, "judge": 1}
    assert "fitted before" in training.log()


def test_a_fit_that_waits_for_a_node_holds_no_slot_and_killed_leaves_no_job(
    training: Training,
) -> None:
    airflow, cluster = training.airflow, training.node.cluster
    connection = cluster.connection
    extra = {**connection["extra"], "gpus": 0, "python": str(ROOT / ".venv/bin/python")}
    training.connect({**connection, "extra": extra})
    airflow.clear(DAG, training.run_id, "fit")
    training.wait_for_fit(lambda task: task["state"] == "deferred")
    wait_for(lambda: UNSCHEDULABLE in training.log(), 120, training.log)
    pool = airflow.call("GET", "/api/v2/pools/spark")
    assert (pool["occupied_slots"], pool["deferred_slots"]) == (0, 1)
    assert len(cluster.jobs) == 1

    path = f"/api/v2/dags/{DAG}/dagRuns/{training.run_id.replace('+', '%2B')}/taskInstances/fit"
    airflow.call("PATCH", path, {"new_state": "failed"})
    wait_for(lambda: not cluster.jobs, 120, lambda: f"{cluster.asked}\n{training.log()}")
    assert len(cluster.calls("DELETE")) == 1


def test_a_fit_in_a_cluster_ends_with_its_pods_log_and_result(training: Training) -> None:
    training.node.is_on = True
    training.airflow.clear(DAG, training.run_id, "fit")
    training.wait_for_fit(lambda task: task["try_number"] == 4 and task["state"] == "success")
    assert training.tries() == {"freeze": 1, "fit": 4, "judge": 1}
    log = training.log()
    assert "made Job nightscore/fit-flights-" in log
    assert "fitted before" in log
    assert len(training.node.cluster.calls("POST")) == 2
