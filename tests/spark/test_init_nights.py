"""From a file of one's own to published scores in three commands: `init`, and the two it names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from feature_store import definitions, streams
from feature_store.home import Home
from jobs.cli import app as cli
from jobs.cli import night as cli_night
from jobs.cli import train as cli_train
from jobs.context import Context
from jobs.training import recipe
from jobs.version import ROOT
from models.scoring.compiler import Compiler
from tests.unit.test_init import FIRST, by_day, clicks, put

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

pytestmark = pytest.mark.slow  # each trains a model; that no row is a bad one is in test_init.py

Make = Callable[[Path], tuple[Path, int]]
"""Writes files, and returns them with how many rows the last day has."""


def log_by_day(folder: Path) -> tuple[Path, int]:
    """An event log with a label, as Parquet by day."""
    frame = clicks(600)
    frame["clicked"] = _told_by(frame["user_id"] % 3 == 0)
    frame = frame.drop(columns=["clicked_at", "dwell", "paid"])
    last = frame["shown_at"].dt.date == frame["shown_at"].dt.date.max()
    return by_day(folder / "in", frame, "ds={day}/part.parquet"), int(last.sum())


def snapshots(folder: Path) -> tuple[Path, int]:
    """A table of entities without any time, delivered again and again, with words of its own."""
    chance = np.random.default_rng(3)
    for number in (0, 1, 2, 4, 5, 6):  # nobody delivers on the fourth day
        frame = pd.DataFrame({"CustomerId": [f"c{n:03d}" for n in range(80)]})
        frame["Country"] = chance.choice(["de", "fr", "it"], 80)
        frame["visits"] = chance.integers(0, 500, 80)
        frame["churned"] = np.where(_told_by(frame["Country"] == "de", number), "yes", "no")
        put(folder / "in" / f"customers-{FIRST + timedelta(days=number)}.csv", frame, sep=";")
    return folder / "in", 80


def undated(folder: Path) -> tuple[Path, int]:
    """One CSV file in which a column of seconds says the day."""
    frame = clicks(600)
    frame["ts"] = frame["shown_at"].astype("datetime64[s]").astype("int64")
    frame["is_fraud"] = _told_by(frame["item"] == "hats").astype(bool)
    last = (frame["ts"] // 86_400 == frame["ts"].max() // 86_400).sum()
    frame = frame[["ts", "user_id", "item", "price", "age", "is_fraud"]]
    return put(folder / "payments.csv", frame.sample(frac=1, random_state=1)), int(last)


def _told_by(likely: pd.Series, seed: int = 0) -> Any:
    """Return a label that is mostly true where it is likely, and sometimes elsewhere."""
    chance = np.random.default_rng(seed)
    return (chance.random(len(likely)) < np.where(likely, 0.85, 0.15)).astype(int)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where pipelines are found as if it were the code's own."""
    for package in (streams, definitions):
        folder = tmp_path / package.__name__.replace(".", "/")
        folder.mkdir(parents=True)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("feature_store.streams.", "feature_store.definitions.")):
            del sys.modules[name]


@pytest.fixture
def in_one_session(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands use the session that is there, and models are not compiled: what takes minutes."""

    @contextmanager
    def opened(definition: Definition, *_: object, **__: object) -> Iterator[Context]:
        yield Context.open(definition, Home.from_env(), spark)

    monkeypatch.setattr(cli_train, "open_context", opened)
    monkeypatch.setattr(cli_night, "open_context", opened)
    monkeypatch.setattr(recipe, "find_compiler", lambda: Compiler(path=None))
    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize("make", [log_by_day, snapshots, undated])
def test_files_that_nobody_described_reach_published_scores(
    checkout: Path,
    in_one_session: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    make: Make,
) -> None:
    data, rows = make(tmp_path)

    def run(*arguments: str) -> dict[str, Any]:
        code = cli.main([*arguments, "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        told: dict[str, Any] = json.loads(said.out)
        return told

    written = run("init", "mine", "--data", str(data), "--into", str(checkout))
    train, night = (command.split()[1:] for command in written["next"])
    assert run(*train)["promoted"]
    found = run(*night)
    assert (found["status"], found["rows"]) == ("published", rows)
    assert found["ds"] == written["last_day"]


def test_three_commands_of_a_shell_lead_to_published_scores(tmp_path: Path) -> None:
    """In a checkout of its own, where `init` writes to unless it is told otherwise."""
    for package in ("feature_store", "jobs", "models"):
        copytree(ROOT / package, tmp_path / package)
    data, rows = undated(tmp_path)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "NIGHTSCORE_HOME": str(tmp_path / "home"),
        "NIGHTSCORE_CORES": "2",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", *arguments],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run("init", "payments", "--data", str(data)).splitlines()
    train, night = [
        line.removeprefix("next: nightscore ").split() for line in said if line.startswith("next: ")
    ]
    run(*train)
    assert f"published, {rows} rows" in run(*night)
