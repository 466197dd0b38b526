"""Promises of maintenance: it rewrites what changed, and what did not stays as it lies."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.schema import PLANS, SCORES
from feature_store.tables.inputs import Inputs
from jobs.context import Context
from jobs.machine.tables_check import findings
from jobs.maintenance import old_tables as old
from jobs.maintenance.compaction import crowded
from jobs.maintenance.old_tables import old_tables, remove_old_tables
from jobs.maintenance.tables import Retention, maintain, surplus_runs
from jobs.maintenance.tables import _remove as remove_run
from tests.toy import EVENTS, clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.home import Home

DAYS = toy_days(3)


@pytest.fixture
def context(spark: SparkSession, home: Home) -> Context:
    """Three days of events, of which the second lies in two files."""
    opened = Context.open(clicky_definition(), home, spark)
    write(opened, DAYS[0], 1)
    write(opened, DAYS[1], 2)
    write(opened, DAYS[2], 1)
    return opened


def write(context: Context, day: date, files: int) -> None:
    """Write a day's ten rows in so many files, as two that write parts of it would leave them."""
    spark = context.spark
    frame = spark.range(10).selectExpr(f"DATE'{day}' AS ds", "CAST(id AS string) AS item")
    inputs = {day: Inputs(definition="d", code="c")}
    with pytest.MonkeyPatch.context() as patch:
        # One writer keeps a small day in one file; without its hint the parts are kept.
        patch.setattr(type(frame), "hint", lambda self, *_: self)
        context.warehouse.replace_days(EVENTS, frame.repartition(files), inputs)


def added(context: Context, table: str, version: int) -> list[str]:
    """The files that a commit added."""
    log = Path(context.warehouse.location(table), "_delta_log", f"{version:020d}.json")
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    return [action["add"]["path"] for action in actions if "add" in action]


def run(context: Context, *, is_search: bool = False) -> list[str]:
    said: list[str] = []
    maintain(context, Retention(is_search=is_search), said.append, dry_run=False)
    return said


def test_only_crowded_days_are_rewritten(context: Context) -> None:
    assert crowded(context, EVENTS).days == (DAYS[1],)
    rows = sorted(context.warehouse.read(EVENTS).collect())
    before = context.warehouse.version(EVENTS)
    assert before is not None
    assert f"{EVENTS}: 1 days compacted, old files deleted" in run(context)
    (path,) = added(context, EVENTS, before + 1)
    assert path.startswith(f"ds={DAYS[1]}/")
    assert not crowded(context, EVENTS)
    again = Context.open(context.definition, context.home, context.spark)
    assert sorted(again.warehouse.read(EVENTS).collect()) == rows


def test_a_second_maintenance_compacts_nothing(context: Context) -> None:
    run(context)
    version = context.warehouse.version(EVENTS)
    assert version is not None
    assert f"{EVENTS}: old files deleted" in run(context)
    now = context.warehouse.version(EVENTS)
    assert now is not None
    assert [path for v in range(version + 1, now + 1) for path in added(context, EVENTS, v)] == []


def test_a_table_without_days_is_compacted_when_it_lies_in_many_files(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.maintenance.compaction.LOOSE_FILES", 2)
    row = context.spark.createDataFrame([("a",)], "plan_id string")
    for _ in range(3):
        context.warehouse.append(PLANS, row.coalesce(1))
    assert "plans: compacted, old files deleted" in run(context)
    version = context.warehouse.version(PLANS)
    assert len(context.warehouse.read(PLANS, version=version).inputFiles()) == 1


def test_what_killed_writes_left_is_found_by_a_search(context: Context) -> None:
    left = Path(context.warehouse.location(EVENTS), f"ds={DAYS[0]}", "part-left.parquet")
    left.write_bytes(b"half a file")
    os.utime(left, (0, 0))
    run(context)
    run(context, is_search=True)
    assert not left.exists()


def test_a_table_from_before_a_type_changed_goes_when_all_its_days_were_made_anew(
    spark: SparkSession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.open(clicky_definition(), home, spark)

    def make(dtype: str, *days: date) -> None:
        rows = spark.createDataFrame([(day, 1) for day in days], f"ds date, x {dtype}")
        inputs = dict.fromkeys(days, Inputs(definition=dtype, code="c"))
        context.warehouse.replace_days(EVENTS, rows, inputs)

    make("int", *DAYS[:2])
    first = Path(context.warehouse.location(EVENTS))
    make("bigint", DAYS[0])
    assert old_tables(context, [EVENTS], 0.0) == [], "a day of it counts"
    make("bigint", DAYS[1])
    assert old_tables(context, [EVENTS], 168.0) == [], "whoever reads it may be at work"
    (first / f"ds={DAYS[2]}").mkdir()
    assert old_tables(context, [EVENTS], 0.0) == [], "nobody knows what that day is"
    (first / f"ds={DAYS[2]}").rmdir()
    assert old_tables(context, [EVENTS], 0.0) == [EVENTS]

    with monkeypatch.context() as killed:
        killed.setattr(old, "sweep", lambda _: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            remove_old_tables(context, [EVENTS], 0.0, lambda _: None)
    assert len(list(first.parent.glob(".removed-*"))) == 1
    assert not list(findings(home))
    assert remove_old_tables(context, [EVENTS], 0.0, lambda _: None) == [], "the newest stays"
    assert [place.name for place in first.parent.iterdir()] == ["events.g2"]
    for seen in (context, Context.open(context.definition, home, spark)):
        assert sorted(map(tuple, seen.warehouse.read(EVENTS).collect())) == [
            (DAYS[0], 1),
            (DAYS[1], 1),
        ]


def test_a_removed_run_is_emptied_in_the_newest_scores_whatever_its_keys_were(
    spark: SparkSession, home: Home
) -> None:
    context = Context.open(clicky_definition(), home, spark)
    inputs = Inputs(definition="d", code="c")
    for run, user, dtype in (("a", "u1", "string"), ("b", 1, "bigint")):
        rows = [(DAYS[0], run, user, 0.5)]
        frame = spark.createDataFrame(rows, f"ds date, run_id string, user {dtype}, score double")
        context.warehouse.replace_runs(SCORES, frame, {(DAYS[0], run): inputs})
    (surplus,) = (c for c in surplus_runs(context, Retention(staged_hours=0)) if c.run_id == "a")
    remove_run(context, surplus)
    assert context.warehouse.days.generations(SCORES) == [1, 2]
    assert old_tables(context, [SCORES], 0.0) == ["scores"]
