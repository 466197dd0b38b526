"""Drift and score histograms on small frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from feature_store.definition import Categorical, Numeric
from feature_store.drift import feature_drift, histograms, reference_bins, score_histogram
from tests.spark.test_quarantine import DEFINITION as SHOP

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEFINITION = replace(
    SHOP, features=(Categorical(name="city", column="user"), Numeric(name="age", column="age"))
)


def frame(spark: SparkSession, rows: int, city: str, age: str) -> DataFrame:
    return spark.range(rows).selectExpr(f"{city} AS city", f"{age} AS age")


def test_the_feature_that_moved_comes_first(spark: SparkSession) -> None:
    city = "concat('c', id % 3)"
    before = frame(spark, 3_000, city, "double(id % 100)")
    day = frame(spark, 900, city, "double(id % 100) + 40")
    drifts = feature_drift(day, before, DEFINITION)
    assert [drift.feature for drift in drifts] == ["age", "city"]
    assert drifts[0].psi > 0.25
    assert drifts[1].psi < 0.01
    assert (drifts[0].rows, drifts[0].reference_rows) == (900, 3_000)


def test_new_categories_nulls_and_infinities_have_bins(spark: SparkSession) -> None:
    before = frame(spark, 100, "if(id < 50, 'null', 'b')", "double(id)")
    day = frame(
        spark, 4, "element_at(array('null', NULL, 'new', 'b'), int(id) + 1)", "double('NaN')"
    )
    bins = reference_bins(before, DEFINITION)
    counted = histograms(day, bins)
    assert counted["city"] == {"=null": 1, "null": 1, "rest": 1, "=b": 1}
    assert counted["age"] == {"null": 4}
    assert len(histograms(before, bins)["age"]) == 10


def test_an_empty_day_or_reference_does_not_crash(spark: SparkSession) -> None:
    some, none = frame(spark, 10, "'a'", "double(id)"), frame(spark, 0, "'a'", "double(id)")
    assert {d.rows for d in feature_drift(none, some, DEFINITION)} == {0}
    assert {d.reference_rows for d in feature_drift(some, none, DEFINITION)} == {0}


def test_scores_fall_in_equal_parts_and_one_in_the_last(spark: SparkSession) -> None:
    scores = spark.createDataFrame(
        [(0.0,), (0.049,), (0.05,), (0.999,), (1.0,), (float("nan"),), (None,)], "score double"
    )
    found = score_histogram(scores)
    assert (len(found), found[0], found[1], found[19], sum(found)) == (20, 2, 1, 2, 5)
