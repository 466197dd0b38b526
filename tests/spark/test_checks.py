"""What a check says when it holds, when it does not, and when it cannot be computed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Categorical, Check, Definition, Numeric
from feature_store.errors import CheckFailed
from feature_store.quality.checks import CheckResult, run_checks
from tests.spark.test_quarantine import DEFINITION as SHOP
from tests.toy import changed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2026, 1, 1)
BASE = replace(
    SHOP,
    features=(Categorical(name="city", column="user"), Numeric(name="age", column="age")),
)


def with_checks(*checks: Check) -> Definition:
    return changed(BASE, checks=checks)


def features(spark: SparkSession, *rows: tuple[str | None, str | None, float | None]) -> DataFrame:
    return spark.createDataFrame(
        [(DAY, *row) for row in rows], "ds date, user string, city string, age double"
    )


def found(df: DataFrame, *checks: Check) -> list[CheckResult]:
    return run_checks(df, with_checks(*checks), "features", DAY)


ROWS = Check(stage="features", kind="row_count", minimum=2, maximum=3)
AGE = Check(stage="features", kind="between", columns=("age",), minimum=0, maximum=120)
CITY = Check(stage="features", kind="in_set", columns=("city",), values=("Ulm", "Bonn"))
USER = Check(stage="features", kind="not_null", columns=("user",))
KEY = Check(stage="features", kind="unique", columns=("user", "city"))
ONE = Check(stage="features", kind="unique", columns=("user",))
MEAN = Check(stage="features", kind="mean_between", columns=("age",), minimum=1, maximum=50)
ALL = (ROWS, AGE, CITY, USER, KEY, ONE, MEAN)


def test_good_rows_pass_every_kind_in_the_given_order(spark: SparkSession) -> None:
    results = found(features(spark, ("a", "Ulm", 30.0), ("b", None, None)), *ALL)
    assert [r.name for r in results] == [check.title for check in ALL]
    assert all(r.passed for r in results), results
    assert {r.name: r.rows for r in results if r.rows != 2} == {
        "between(age)": 1, "in_set(city)": 1, "mean_between(age)": 1,
    }  # fmt: skip


def test_each_kind_of_failure_is_counted(spark: SparkSession) -> None:
    frame = features(
        spark, ("a", "Ulm", 300.0), ("a", "Ulm", -1.0), ("a", "X", 2.0), (None, "", 2.0)
    )
    results = {r.name: r for r in found(frame, *ALL)}
    assert not any(r.passed for r in results.values()), results
    bad = {name: r.bad_rows for name, r in results.items()}
    assert bad["between(age)"] == 2
    assert bad["in_set(city)"] == 2
    assert bad["not_null(user)"] == 1
    assert bad["unique(user, city)"] == 2
    assert results["row_count()"].observed == "4"
    assert results["row_count()"].expected == "2 <= rows <= 3"
    assert results["mean_between(age)"].observed.startswith("75.75")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("bounds", [{"minimum": 0.0}, {"maximum": 120.0}, {}])
def test_a_number_that_is_not_finite_is_never_between(
    spark: SparkSession, value: float, bounds: dict[str, float]
) -> None:
    check = Check(stage="features", kind="between", columns=("age",), **bounds)  # type: ignore[arg-type]
    assert [r.passed for r in found(features(spark, ("a", "Ulm", value)), check)] == [False]


def test_an_empty_day_fails_its_row_count_and_does_not_crash(spark: SparkSession) -> None:
    empty = features(spark, ("a", "Ulm", 1.0)).where("false")
    no_bound = Check(stage="features", kind="row_count")
    results = found(empty, *ALL, no_bound)
    assert not results[0].passed
    assert not results[-1].passed
    assert {r.rows for r in results} == {0}


def test_mostly_allows_a_share(spark: SparkSession) -> None:
    frame = features(spark, *[(str(n), "Ulm", 500.0 if n == 0 else 5.0) for n in range(10)])
    strict, lenient = found(frame, AGE, replace(AGE, mostly=0.9))
    assert (strict.passed, lenient.passed) == (False, True)
    assert lenient.expected == "0 <= age <= 120, finite for 90.00% of the rows that have a value"


@pytest.mark.parametrize("check", [AGE, replace(AGE, mostly=0.1), CITY, MEAN, ONE, KEY], ids=str)
def test_a_check_of_values_that_finds_none_has_failed(spark: SparkSession, check: Check) -> None:
    frame = features(spark, *[(None, None, None)] * 12)
    (result,) = found(frame, check)
    assert not result.passed
    assert (result.bad_rows, result.rows) == (12, 12)
    assert "none of the 12 rows has a value of" in result.observed


def test_shares_are_of_the_rows_that_the_rule_is_about(spark: SparkSession) -> None:
    rows = [(str(n), "Ulm", None if n < 8 else (500.0 if n == 8 else 5.0)) for n in range(12)]
    frame = features(spark, *rows)
    mostly, strict = found(frame, replace(AGE, mostly=0.75), replace(AGE, mostly=0.76))
    assert (mostly.passed, strict.passed) == (True, False)
    assert strict.observed.startswith("1 of 4 rows that have a value (of 12), 25.00%, break it")
    assert (strict.bad_rows, strict.rows) == (1, 4)
    (nulls,) = found(frame, replace(USER, columns=("age",), mostly=0.5))
    assert nulls.observed.startswith("8 of 12 rows, 66.67%, break it")


def test_a_result_says_whether_it_stops_the_night(spark: SparkSession) -> None:
    frame = features(spark, ("a", "Ulm", 500.0))
    stops, warns = found(frame, AGE, replace(AGE, severity="warn"))
    assert (stops.passed, warns.passed) == (False, False)
    assert (stops.blocks, warns.blocks) == (True, False)


def test_a_missing_column_is_named_with_those_present(spark: SparkSession) -> None:
    frame = features(spark, ("a", "Ulm", 1.0)).withColumnRenamed("age", "years")
    with pytest.raises(
        CheckFailed, match=r"lack the column age .* there are ds, user, city, years"
    ):
        found(frame, AGE)


def test_only_the_checks_of_the_stage_run(spark: SparkSession) -> None:
    score = Check(stage="scores", kind="between", columns=("score",), minimum=0, maximum=1)
    scores = spark.createDataFrame([("a", 0.5), ("b", 1.5)], "user string, score double")
    definition = with_checks(AGE, score)
    results = run_checks(scores, definition, "scores", DAY)
    assert [(r.name, r.passed, r.bad_rows) for r in results] == [("between(score)", False, 1)]
    assert run_checks(scores, changed(BASE, checks=(AGE,)), "scores", DAY) == []


def test_a_check_that_cannot_be_computed_has_failed_and_says_why(spark: SparkSession) -> None:
    text_mean = Check(stage="features", kind="mean_between", columns=("city",), minimum=0)
    result = found(features(spark, ("a", "Ulm", 1.0)), text_mean)[0]
    assert not result.passed
    assert result.observed.startswith("could not be computed: ")
