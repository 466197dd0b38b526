"""Promises under faults: kill -9, two drivers at once, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.errors import WriteFailed
from feature_store.home import Home
from feature_store.schema import SCORES
from feature_store.tables.inputs import Inputs
from jobs.context import Context
from jobs.night.ledger import history, scores_latest
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.crash, pytest.mark.slow]


def start(home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.nights", home.root, *arguments],
        cwd=ROOT,
        env={**os.environ, "NIGHTSCORE_CORES": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def state(home: Home, spark: SparkSession) -> tuple[Context, list[tuple[object, ...]]]:
    context = Context.open(clicky_definition(), home, spark)
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


def test_two_nights_of_one_day_at_once_give_one_publication(
    spark: SparkSession, champion_home: Home, tmp_path: Path
) -> None:
    home = Home.of(tmp_path / "shared")
    shutil.copytree(champion_home.root, home.root)
    pair = [start(home, "night") for _ in range(2)]
    for process in pair:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in pair:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=300)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    context, rows = state(home, spark)
    (publication,) = history(context)
    assert printed == [f"{publication.run_id}\n"] * 2
    assert len(rows) == 60


def test_a_full_disk_is_one_clear_message_and_publishes_nothing(
    spark: SparkSession, champion_home: Home, tmp_path: Path
) -> None:
    home = Home.of(tmp_path / "small")
    Path(home.root).mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", home.root], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk to fill")
    try:
        shutil.copytree(champion_home.root, home.root, dirs_exist_ok=True)
        with Path(home.root, "ballast").open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(b"\0" * 4096)
        context = Context.open(clicky_definition(), home, spark)
        frame = context.warehouse.read("features")
        with pytest.raises(WriteFailed, match="no space left on device"):
            context.warehouse.replace_days(
                "features", frame, {day: Inputs(definition="d", code="1") for day in toy_days(8)}
            )
        assert context.warehouse.version("features") == 0
    finally:
        # Lazily: a task that was stopped may still hold a file for a moment.
        subprocess.run(["umount", "--lazy", home.root], check=True)
