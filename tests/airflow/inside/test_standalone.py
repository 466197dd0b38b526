"""A job on a real standalone master with a worker: another connection, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.airflow.inside.conftest import ROOT
from tests.airflow.server import clean_environment, free_port, wait_for

pytestmark = pytest.mark.slow


def _java_home() -> str:
    code = "from jobs.machine.java import find_java; print(find_java().home)"
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _spark_home() -> str:
    (home,) = (ROOT / ".venv" / "lib").glob("python3.*/site-packages/pyspark")
    return str(home)


def _state(port: int) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


@pytest.fixture
def master(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A master and a worker with two cores; yields the master's URL and its UI's port."""
    port, ui = free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    env = clean_environment(
        JAVA_HOME=_java_home(), SPARK_HOME=_spark_home(), SPARK_NO_DAEMONIZE="1"
    )
    deploy = "org.apache.spark.deploy"
    commands = [
        [f"{deploy}.master.Master", "--host=127.0.0.1", f"--port={port}", f"--webui-port={ui}"],
        [
            f"{deploy}.worker.Worker", "--host=127.0.0.1", "--cores=2", "--memory=2g",
            "--webui-port=0", f"--work-dir={tmp_path / 'work'}", url,
        ],
    ]  # fmt: skip
    logs, processes = [tmp_path / "master.log", tmp_path / "worker.log"], []
    for command, log in zip(commands, logs, strict=True):
        spelled = [part for text in command for part in text.split("=", 1)]
        with log.open("w") as output:
            program = [ROOT / ".venv/bin/spark-class", *spelled]
            processes.append(subprocess.Popen(program, env=env, stdout=output, stderr=output))
    try:
        wait_for(
            lambda: _state(ui).get("aliveworkers") == 1,
            120,
            lambda: "\n".join(log.read_text()[-1500:] for log in logs),
        )
        yield url, ui
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def test_a_job_runs_on_a_standalone_master_by_its_connection(
    database: None, master: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags._runner import Application

    url, ui = master
    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "1g",
        "spark.sql.shuffle.partitions": "4",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    connection = {"conn_type": "spark", "host": url, "extra": {"conf": settings}}
    monkeypatch.setenv("AIRFLOW_CONN_NIGHTSCORE_SPARK", json.dumps(connection))
    for name, value in clean_environment(
        NIGHTSCORE_HOME=str(tmp_path / "home"), JAVA_HOME=_java_home(), SPARK_HOME=_spark_home()
    ).items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    first_day = "2013-01-01"
    receipt = Application(
        "on a standalone master",
        ["prepare", "--pipeline=flights", f"--from={first_day}", f"--to={first_day}"],
    ).run()
    assert "failure" not in receipt, receipt
    applications = _state(ui)["completedapps"]
    assert [app["name"] for app in applications] == ["nightscore prepare flights"]
    assert applications[0]["state"] == "FINISHED"
    assert applications[0]["cores"] >= 1 or applications[0]["duration"] > 0
    assert os.listdir(tmp_path / "work"), "the worker had executors"
    files = list((tmp_path / "home" / "tables" / "flights" / "features").rglob("*.parquet"))
    assert _rows(files) == 842, f"the flights of {first_day}"
    assert time.monotonic() - started < 300


def _rows(files: list[Path]) -> int:
    import pyarrow.parquet as pq

    return sum(pq.ParquetFile(file).metadata.num_rows for file in files if file.stat().st_size)
