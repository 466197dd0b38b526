"""What is split off, why, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Categorical, Column, Definition, Known, Label, Numeric
from feature_store.errors import SourceCorrupt, TooManyBadRows
from feature_store.quarantine import check_ceiling, split_bad_rows
from tests.toy import Rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2026, 1, 1)
DEFINITION = Definition(
    name="shop",
    description="Rows that arrive as text",
    source=Rows(()),
    keys=("user",),
    event_time="planned_at",
    knowns=(
        Known(name="plan", at="planned_at"),
        Known(name="sale", at="sold_at", after_event=True),
    ),
    columns=(
        Column(name="user", dtype="string", known="plan"),
        Column(name="age", dtype="int", known="plan", minimum=0, maximum=120),
        Column(name="price", dtype="double", known="plan", nullable=False, minimum=0),
        Column(name="planned_at", dtype="timestamp", known="plan"),
        Column(name="sold", dtype="boolean", known="sale"),
        Column(name="sold_at", dtype="timestamp", known="sale"),
    ),
    label=Label(name="sold", expression="sold", known="sale"),
    features=(Categorical(name="user", column="user"), Numeric(name="age", column="age")),
    first_day=DAY,
)
NAMES = ("user", "age", "price", "planned_at", "sold", "sold_at")
GOOD: dict[str, Any] = {
    "user": "u1",
    "age": "30",
    "price": "9.5",
    "planned_at": "2025-12-31 18:00:00",
    "sold": "true",
    "sold_at": "2026-01-01 10:00:00",
}


def raw(spark: SparkSession, *rows: dict[str, Any], types: str = "string") -> DataFrame:
    fields = ", ".join(f"{name} {types}" for name in NAMES)
    full = [{**GOOD, **row} for row in rows]
    values = [(DAY, *[row[n] for n in NAMES], row.get("file", "a.csv")) for row in full]
    return spark.createDataFrame(values, f"ds date, {fields}, source_file string")


def test_good_rows_are_typed_and_carry_no_file_name(spark: SparkSession) -> None:
    good, bad = split_bad_rows(raw(spark, {}), DEFINITION)
    assert good.columns == ["ds", *NAMES]
    assert bad.columns == ["ds", "reason", "row", "source_file"]
    row = good.collect()[0]
    assert (row.age, row.price, row.sold) == (30, 9.5, True)
    assert row.sold_at == datetime(2026, 1, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    assert bad.isEmpty()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"age": "abc"}, "type(age)"),
        ({"age": "1.5"}, "type(age)"),
        ({"age": "99999999999"}, "type(age)"),
        ({"sold": "maybe"}, "type(sold)"),
        ({"planned_at": "2025-13-01"}, "type(planned_at)"),
        ({"user": None}, "null(user)"),
        ({"price": None}, "null(price)"),
        ({"planned_at": None}, "null(planned_at)"),
        ({"price": "NaN"}, "not_finite(price)"),
        ({"price": "Infinity"}, "not_finite(price)"),
        ({"price": "-0.01"}, "range(price)"),
        ({"age": "121"}, "range(age)"),
        ({"age": "x", "price": None}, "type(age)"),
    ],
)
def test_a_broken_rule_is_named_and_the_raw_row_is_kept(
    spark: SparkSession, broken: dict[str, Any], reason: str
) -> None:
    good, bad = split_bad_rows(raw(spark, {"user": "u2"}, broken), DEFINITION)
    assert [row.user for row in good.collect()] == ["u2"]
    found = bad.collect()
    assert [(row.ds, row.reason, row.source_file) for row in found] == [(DAY, reason, "a.csv")]
    kept = json.loads(found[0].row)
    assert {name: kept[name] for name in broken} == broken


def test_nullable_columns_may_be_null(spark: SparkSession) -> None:
    good, bad = split_bad_rows(raw(spark, {"age": None, "sold": None}), DEFINITION)
    assert good.count() == 1
    assert bad.isEmpty()


def test_equal_rows_become_one_even_from_two_files(spark: SparkSession) -> None:
    good, bad = split_bad_rows(raw(spark, {}, {}, {"file": "b.csv"}), DEFINITION)
    assert good.count() == 1
    assert bad.isEmpty()


def test_of_conflicting_rows_the_latest_known_is_kept(spark: SparkSession) -> None:
    later = {"price": "7", "sold_at": "2026-01-03 00:00:00"}
    good, bad = split_bad_rows(raw(spark, {}, {}, later, {"price": "8"}), DEFINITION)
    assert [row.price for row in good.collect()] == [7.0]
    assert sorted((r.reason, json.loads(r.row)["price"]) for r in bad.collect()) == [
        ("duplicate_key", 8.0),
        ("duplicate_key", 9.5),
    ]


def test_a_tie_is_broken_the_same_way_in_any_order(spark: SparkSession) -> None:
    rows = [{"price": str(price)} for price in range(6)]
    kept = [
        split_bad_rows(raw(spark, *order).repartition(parts), DEFINITION)[0].collect()[0].price
        for order, parts in [(rows, 1), (rows[::-1], 3)]
    ]
    assert kept[0] == kept[1]


def test_a_bad_row_does_not_push_out_a_good_one(spark: SparkSession) -> None:
    later_but_bad = {"price": "-1", "sold_at": "2026-02-01 00:00:00"}
    good, bad = split_bad_rows(raw(spark, {}, later_but_bad), DEFINITION)
    assert [row.price for row in good.collect()] == [9.5]
    assert [row.reason for row in bad.collect()] == ["range(price)"]


def test_a_fraction_is_not_cut_to_a_whole_number(spark: SparkSession) -> None:
    frame = raw(spark, {}, {"user": "u2", "age": "7.5"})
    typed = frame.withColumn("age", frame.age.cast("double"))
    good, bad = split_bad_rows(typed, DEFINITION)
    assert [row.age for row in good.collect()] == [30]
    assert [row.reason for row in bad.collect()] == ["type(age)"]


def test_a_missing_column_is_named_with_those_present(spark: SparkSession) -> None:
    with pytest.raises(SourceCorrupt, match=r"no column price; it has ds, user"):
        split_bad_rows(raw(spark, {}).drop("price"), DEFINITION)


def test_a_column_that_can_never_be_cast_is_refused(spark: SparkSession) -> None:
    frame = raw(spark, {}).selectExpr("* except (age)", "array(1) AS age")
    with pytest.raises(SourceCorrupt, match="declared type"):
        split_bad_rows(frame, DEFINITION)


def test_a_source_without_a_file_name_is_fine(spark: SparkSession) -> None:
    frame = raw(spark, {"age": "x"}).drop("source_file")
    assert split_bad_rows(frame, DEFINITION)[1].collect()[0].source_file is None


def test_an_empty_day_splits_into_two_empty_frames(spark: SparkSession) -> None:
    good, bad = split_bad_rows(raw(spark, {}).where("false"), DEFINITION)
    assert good.isEmpty()
    assert bad.isEmpty()


def test_a_null_in_another_known_time_is_allowed(spark: SparkSession) -> None:
    good, _ = split_bad_rows(raw(spark, {"sold_at": None}), replace(DEFINITION, name="shop2"))
    assert good.collect()[0].sold_at is None


def test_the_ceiling_stops_with_the_reasons() -> None:
    check_ceiling("shop", DAY, 1, 100, 0.01, {"null(price)": 1})
    check_ceiling("shop", DAY, 0, 0, 0.0)
    with pytest.raises(TooManyBadRows, match=r"2 bad of 100 rows \(2.00%, ceiling 1.00%\): "):
        check_ceiling("shop", DAY, 2, 100, 0.01, {"null(price)": 2})
