"""Promises of the one writer: atomic days, pins per day, nothing lost by a crash."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from feature_store.errors import PartitionNotReady, WriteFailed
from feature_store.home import Home
from feature_store.schema import LINEAGE, SCORES
from feature_store.tables.inputs import Inputs
from feature_store.tables.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
INPUTS = Inputs(definition="d", code="1")


def frame(spark: SparkSession, *rows: tuple[date, int]) -> DataFrame:
    return spark.createDataFrame(list(rows), "ds date, x int")


@pytest.fixture
def warehouse(spark: SparkSession, home: Home) -> Warehouse:
    return Warehouse(spark, home, "toy")


def test_replacing_one_day_leaves_the_pins_of_the_others(warehouse: Warehouse) -> None:
    spark = warehouse.spark
    both = frame(spark, (D1, 1), (D2, 2), (D2, 3))
    warehouse.replace_days("events", both, {D1: INPUTS, D2: INPUTS})
    before = warehouse.pins("events", [D1, D2])
    warehouse.replace_days("events", frame(spark, (D2, 9)), {D2: INPUTS})

    assert before == [("2026-01-01", "2026-01-02", 0)]
    assert warehouse.pins("events", [D1, D2]) == [
        ("2026-01-01", "2026-01-01", 0),
        ("2026-01-02", "2026-01-02", 1),
    ]
    assert sorted(r.x for r in warehouse.read("events").collect()) == [1, 9]
    assert [c.rows for c in warehouse.commits("events").values()] == [1, 1]


def test_rows_of_another_day_are_refused_and_nothing_is_written(warehouse: Warehouse) -> None:
    warehouse.replace_days("events", frame(warehouse.spark, (D1, 1)), {D1: INPUTS})
    with pytest.raises(WriteFailed, match=r"toy.events ds=2026-01-02"):
        warehouse.replace_days("events", frame(warehouse.spark, (D3, 1)), {D2: INPUTS})
    assert warehouse.version("events") == 0


def test_a_day_without_rows_is_a_commit_too(warehouse: Warehouse) -> None:
    warehouse.replace_days("tiles", frame(warehouse.spark), {D1: INPUTS})
    warehouse.replace_days("tiles", frame(warehouse.spark), {D2: INPUTS})
    assert warehouse.pins("tiles", [D1, D2]) == [
        ("2026-01-01", "2026-01-01", 0),
        ("2026-01-02", "2026-01-02", 1),
    ]


def test_missing_days_are_named_with_the_next_step(warehouse: Warehouse) -> None:
    warehouse.replace_days("events", frame(warehouse.spark, (D1, 1)), {D1: INPUTS})
    with pytest.raises(PartitionNotReady, match=r"events: missing ds=2026-01-03 .* prepare"):
        warehouse.pins("events", [D1, D3])


def test_a_commit_that_a_crash_kept_out_of_the_lineage_is_read_from_the_log(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    warehouse.replace_days("events", frame(spark, (D1, 1), (D1, 2)), {D1: INPUTS})

    other = Warehouse(spark, home, "toy")
    commit = other.commit("events", D1)
    assert commit is not None
    assert (commit.version, commit.rows, commit.inputs) == (0, 2, INPUTS)
    other.save_lineage()
    assert Warehouse(spark, home, "toy").read(LINEAGE).count() == 1


def test_lineage_is_one_commit_for_many_writes_and_keeps_what_they_cost(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    for table in ("events", "tiles"):
        warehouse.replace_days(table, frame(spark, (D1, 1)), {D1: INPUTS})
    bystander = Warehouse(spark, home, "toy")
    assert bystander.commit("tiles", D1) is not None
    warehouse.save_lineage()
    # Who only saw the commit writes it down too, and does not know what it cost.
    bystander.save_lineage()
    bystander.save_lineage()
    assert warehouse.version(LINEAGE) == 1
    fresh = Warehouse(spark, home, "toy").commit("tiles", D1)
    assert fresh is not None
    assert fresh.seconds > 0


def test_what_is_not_in_the_lineage_is_found_by_one_look_at_many_tables_too(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    for table in ("events", "tiles"):
        warehouse.replace_days(table, frame(spark, (D1, 1)), {D1: INPUTS})
    warehouse.save_lineage()
    warehouse.replace_days("tiles", frame(spark, (D1, 2)), {D1: INPUTS})
    fresh = Warehouse(spark, home, "toy")
    with fresh.held():
        assert fresh.pins("events", [D1]) == [("2026-01-01", "2026-01-01", 0)]
        assert fresh.pins("tiles", [D1]) == [("2026-01-01", "2026-01-01", 1)]


@pytest.mark.parametrize("bad", [float("nan"), None, -0.1, 1.1, float("inf")])
def test_a_score_that_is_no_probability_is_refused_by_the_table(
    warehouse: Warehouse, bad: float | None
) -> None:
    schema = "ds date, run_id string, k string, score float"
    scores = warehouse.spark.createDataFrame([(D1, "r1", "a", bad)], schema)
    with pytest.raises(WriteFailed, match="score_range"):
        warehouse.replace_days(SCORES, scores, {D1: INPUTS}, runs={D1: "r1"})


def test_two_runs_of_a_day_stand_side_by_side(warehouse: Warehouse) -> None:
    schema = "ds date, run_id string, k string, score float"
    for run, score in [("r1", 0.25), ("r2", 0.5), ("r2", 0.75)]:
        scores = warehouse.spark.createDataFrame([(D1, run, "a", score)], schema)
        warehouse.replace_days(SCORES, scores, {D1: INPUTS}, runs={D1: run})
    rows = {(r.run_id, r.score) for r in warehouse.read(SCORES).collect()}
    assert rows == {("r1", 0.25), ("r2", 0.75)}
    assert {key[2] for key in warehouse.commits(SCORES)} == {"r1", "r2"}
