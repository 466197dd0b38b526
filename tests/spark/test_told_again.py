"""Rows that are told of once need no order: a delivery is judged the same, and rightly, without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.events import quarantine
from feature_store.events.quarantine import (
    bad_rows,
    good_rows,
    judge_rows,
    judge_typed,
    typed_rows,
)
from tests.sales import Sale, Sales, sales_stream, some_sales
from tests.toy import toy_days

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

DAYS = 4
SOME = some_sales(DAYS, a_day=4, seed=3)
ONCE = [
    sale for sale in SOME if [s.day for s in SOME if s.number == sale.number].count(sale.day) < 2
]
CONTRADICTED = replace(ONCE[0], amount=77.0)
BROKEN = replace(ONCE[1], amount=float("nan"))


def told(frame: DataFrame) -> list[str]:
    return sorted(repr(row) for row in frame.collect())


# Word for word twice, and once more with what contradicts it; a broken one beside a good.
EVERYTHING = [*SOME, SOME[-1], CONTRADICTED, BROKEN]


@pytest.mark.parametrize(
    ("sales", "few", "reasons"),
    [
        (EVERYTHING, 1000, {"superseded", "duplicate_key", "not_finite(amount)"}),
        pytest.param([*ONCE, BROKEN], 1000, {"not_finite(amount)"}, marks=pytest.mark.slow),
        pytest.param(
            EVERYTHING,
            0,
            {"superseded", "duplicate_key", "not_finite(amount)"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_put_in_order_makes_no_difference(
    spark: SparkSession,
    monkeypatch: pytest.MonkeyPatch,
    sales: Sequence[Sale],
    few: int,
    reasons: set[str],
) -> None:
    monkeypatch.setattr(quarantine, "_FEW", few)
    stream = sales_stream(sales)
    raw = Sales(tuple(sales)).read(spark, toy_days(DAYS)).coalesce(1)
    at_once, apart = judge_rows(raw, stream), judge_typed(typed_rows(raw, stream), stream)
    assert told(good_rows(apart, stream)) == told(good_rows(at_once, stream))
    bad = bad_rows(apart, stream)
    assert told(bad) == told(bad_rows(at_once, stream))
    assert {row["reason"] for row in bad.collect()} == reasons


def test_rows_told_of_once_are_not_sorted(spark: SparkSession) -> None:
    stream = sales_stream(ONCE)
    typed = typed_rows(Sales(tuple(ONCE)).read(spark, toy_days(DAYS)), stream)
    plan = judge_typed(typed, stream)._jdf.queryExecution().optimizedPlan().toString()
    assert "Window" not in plan
    assert "Window" in judge_rows(typed, stream)._jdf.queryExecution().optimizedPlan().toString()
