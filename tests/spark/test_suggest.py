"""Checks suggested of past days: those days pass them all, and a day that is broken does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from feature_store.definition import Definition, Numeric
from feature_store.quality.checks import run_checks
from feature_store.quality.profile import profiles
from feature_store.quality.suggest import MOST_VALUES, suggestions
from feature_store.schema import DS
from jobs.cli import checks
from jobs.cli.app import main
from tests.conftest import OpenToy
from tests.spark.test_checks import BASE, DAY
from tests.toy import changed, toy_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS = [DAY + timedelta(days=i) for i in range(3)]
ROWS = 300


@pytest.fixture(scope="module")
def days_df(spark: SparkSession) -> DataFrame:
    """Three days: users that are keys, few cities (2 % of rows without), ages of 20 to 69."""
    rows = [
        (day, f"u{i:04d}", None if i % 50 == 0 else ("Ulm", "Bonn", "Köln")[i % 3], 20.0 + i % 50)
        for day in DAYS
        for i in range(ROWS + 10 * day.day)
    ]
    return spark.createDataFrame(rows, "ds date, user string, city string, age double").cache()


@pytest.fixture(scope="module")
def checked(days_df: DataFrame) -> Definition:
    """The definition with everything that is suggested."""
    numbers = [one.name for one in BASE.features if isinstance(one, Numeric)]
    texts = [one.name for one in BASE.features if one.name not in numbers]
    found = suggestions(changed(BASE, checks=()), profiles(days_df, numbers, texts, MOST_VALUES))
    return changed(BASE, checks=tuple(one.check for one in found))


def broken_by(df: DataFrame, definition: Definition) -> set[str]:
    return {r.name for r in run_checks(df, definition, "features", DAY) if not r.passed}


def test_profiles_count_each_day(days_df: DataFrame) -> None:
    age, city = profiles(days_df, ["age"], ["city"], 3)
    assert [(day.ds, day.rows, day.filled) for day in city.days] == [
        (day, ROWS + 10 * day.day, ROWS + 10 * day.day - 7) for day in DAYS
    ]
    assert city.values == ("Bonn", "Köln", "Ulm")
    assert age.days[0].low == pytest.approx(20, abs=1)
    assert age.days[0].high == pytest.approx(69, abs=1)
    assert profiles(days_df, [], ["city"], 2)[0].values == ()


def test_the_days_that_they_were_made_of_pass_them_all(
    days_df: DataFrame, checked: Definition
) -> None:
    assert [check.title for check in checked.checks] == [
        "row_count()", f"unique({', '.join(checked.keys)})", "between(age)", "not_null(age)",
        "in_set(city)", "not_null(city)",
    ]  # fmt: skip
    for day in DAYS:
        assert broken_by(days_df.where(F.col(DS) == F.lit(day)), checked) == set()


FAULTS: dict[str, tuple[Callable[[DataFrame], DataFrame], str]] = {
    "truncated": (lambda df: df.limit(100), "row_count()"),
    "delivered twice": (lambda df: df.unionByName(df), "unique(user)"),
    "null burst": (lambda df: df.withColumn("age", F.when(F.col("age") > 30, F.col("age"))),
                   "not_null(age)"),
    "outage": (lambda df: df.withColumn("city", F.lit(None).cast("string")), "not_null(city)"),
    "months for years": (lambda df: df.withColumn("age", F.col("age") * 12), "between(age)"),
    "sign flip": (lambda df: df.withColumn("age", -F.col("age")), "between(age)"),
    "rename": (lambda df: df.replace("Ulm", "ULM", "city"), "in_set(city)"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_day_is_found_and_its_column_named(
    days_df: DataFrame, checked: Definition, fault: str
) -> None:
    breaking, guilty = FAULTS[fault]
    day = days_df.where(F.col(DS) == F.lit(DAY))
    assert guilty in broken_by(breaking(day), checked)


def test_the_command_looks_at_the_days_that_have_features(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    context = open_toy()
    monkeypatch.setattr(checks, "open_context", lambda *_, **__: nullcontext(context))
    monkeypatch.setattr("feature_store.definitions.load", lambda _: context.definition)
    days = toy_days(8)
    after = days[7] + timedelta(days=1)
    span = ["checks", "suggest", "--pipeline=toy", f"--from={days[0]}", f"--to={after}"]
    assert main([*span, "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"not_null", "in_set"} & {one["kind"] for one in told}
    assert all(one["stage"] == "features" and one["seen"] for one in told)
    assert main(span) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("# Of 8 days of toy, ")
    assert lines[1].startswith("# That is few")
    assert "    checks=(" in lines
    assert main([*span[:-2], f"--from={after}", f"--to={after}"]) == 1
    assert "Run: nightscore prepare --pipeline toy" in capsys.readouterr().err
