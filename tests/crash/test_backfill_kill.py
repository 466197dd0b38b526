"""Promises of a killed backfill: it resumes, done days are untouched, two share a range."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.home import Home
from feature_store.schema import SCORES
from jobs.context import Context
from jobs.ledger import history, scores_latest
from tests.toy import clicky_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.crash, pytest.mark.slow]


def start(home: Home) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.nights", home.root],
        cwd=ROOT,
        env={**os.environ, "NIGHTSCORE_CORES": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def state(home: Home, spark: SparkSession) -> tuple[Context, list[tuple[object, ...]]]:
    context = Context.open(clicky_definition(), home, spark, "1")
    frame = scores_latest(context).select("ds", "user", "item", "score")
    return context, sorted(tuple(row) for row in frame.collect())


def test_a_backfill_killed_in_the_middle_resumes_and_leaves_done_days_alone(
    spark: SparkSession,
    champion_home: Home,
    tmp_path: Path,
) -> None:
    killed, whole = Home.of(tmp_path / "killed"), Home.of(tmp_path / "whole")
    for home in (killed, whole):
        shutil.copytree(champion_home.root, home.root)
    first = start(killed)
    assert first.stdout is not None
    for line in first.stdout:
        if line.endswith("published\n"):
            break
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    context, _ = state(killed, spark)
    done = {p.ds: p for p in history(context)}
    versions = {ds: context.warehouse.commit(SCORES, ds, p.run_id) for ds, p in done.items()}
    assert 0 < len(done) < 8

    second, other = start(killed), start(whole)
    assert second.wait(300) == other.wait(300) == 0
    resumed, rows = state(killed, spark)
    assert rows == state(whole, spark)[1]
    assert len(rows) == 480
    publications = history(resumed)
    assert len(publications) == 8
    assert {p.ds: p for p in publications if p.ds in done} == done
    after = {ds: resumed.warehouse.commit(SCORES, ds, p.run_id) for ds, p in done.items()}
    assert after == versions


def test_two_backfills_of_one_range_at_once_do_every_day_once(
    spark: SparkSession,
    champion_home: Home,
    tmp_path: Path,
) -> None:
    home = Home.of(tmp_path / "shared")
    shutil.copytree(champion_home.root, home.root)
    pair = [start(home), start(home)]
    started = time.monotonic()
    codes = [process.wait(300) for process in pair]
    assert codes == [0, 0], f"after {time.monotonic() - started:.0f} s"
    context, rows = state(home, spark)
    assert len(rows) == 480
    assert [p.sequence for p in history(context)] == [1] * 8
    assert len(context.warehouse.commits(SCORES)) == 8
