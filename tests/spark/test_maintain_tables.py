"""Promises of maintenance: it rewrites what changed, and what did not stays as it lies."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.schema import EVENTS, PLANS
from feature_store.tables.inputs import Inputs
from jobs.context import Context
from jobs.maintenance.compaction import LOOSE_FILES, crowded
from jobs.maintenance.tables import Retention, maintain
from tests.toy import clicky_definition, toy_days

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
    assert "events: 1 days compacted, old files deleted" in run(context)
    (path,) = added(context, EVENTS, before + 1)
    assert path.startswith(f"ds={DAYS[1]}/")
    assert not crowded(context, EVENTS)
    again = Context.open(context.definition, context.home, context.spark)
    assert sorted(again.warehouse.read(EVENTS).collect()) == rows


def test_a_second_maintenance_compacts_nothing(context: Context) -> None:
    run(context)
    version = context.warehouse.version(EVENTS)
    assert version is not None
    assert "events: old files deleted" in run(context)
    now = context.warehouse.version(EVENTS)
    assert now is not None
    assert [path for v in range(version + 1, now + 1) for path in added(context, EVENTS, v)] == []


def test_a_table_without_days_is_compacted_when_it_lies_in_many_files(context: Context) -> None:
    row = context.spark.createDataFrame([("a",)], "plan_id string")
    for _ in range(LOOSE_FILES + 1):
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
