"""What is split off, why, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from feature_store.definition import (
    Categorical,
    Column,
    Definition,
    Known,
    Label,
    Numeric,
    Stream,
)
from feature_store.definition import Rows as SpineRows
from feature_store.errors import SourceCorrupt, TooManyBadRows
from feature_store.events.quarantine import check_ceiling
from tests.toy import Rows, changed, split_bad_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2026, 1, 1)
STREAM = Stream(
    name="shop",
    source=Rows(()),
    keys=("user",),
    event_time="planned_at",
    event_days=(-1, 1),
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
    first_day=DAY,
)
DEFINITION = Definition(
    name="shop",
    description="Rows that arrive as text",
    spine=SpineRows(STREAM),
    labels=(Label(name="sold", expression="sold", known="sale"),),
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
    assert good.columns == ["ds", *NAMES, "_earlier"]
    assert bad.columns == ["ds", "reason", "row", "source_file"]
    row = good.collect()[0]
    assert (row.age, row.price, row.sold) == (30, 9.5, True)
    assert row.sold_at == datetime(2026, 1, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    assert bad.isEmpty()


BROKEN: list[tuple[dict[str, Any], str]] = [
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
]


def test_a_broken_rule_is_named_and_the_raw_row_is_kept(spark: SparkSession) -> None:
    # Each from a file of its own, by which it is found again.
    rows = [{**broken, "file": str(n)} for n, (broken, _) in enumerate(BROKEN)]
    good, bad = split_bad_rows(raw(spark, {"user": "u2"}, *rows), DEFINITION)
    assert [row.user for row in good.collect()] == ["u2"]
    found = {int(row.source_file): row for row in bad.collect()}
    assert {n: (row.ds, row.reason) for n, row in found.items()} == {
        n: (DAY, reason) for n, (_, reason) in enumerate(BROKEN)
    }
    for n, (broken, _) in enumerate(BROKEN):
        kept = json.loads(found[n].row)
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
    assert told(bad) == [("superseded", 8.0), ("superseded", 9.5)]


def test_of_rows_known_at_the_same_time_nobody_can_say_which_is_right(spark: SparkSession) -> None:
    good, bad = split_bad_rows(raw(spark, {"price": "7"}, {"price": "8"}), DEFINITION)
    (kept,) = good.collect()
    assert told(bad) == [("duplicate_key", 15.0 - kept.price)]


def test_a_correction_after_the_cut_off_keeps_the_row_that_the_day_had(
    spark: SparkSession,
) -> None:
    early = {"price": "6", "planned_at": "2025-12-31 12:00:00"}
    late = {"price": "7", "planned_at": "2026-01-01 00:00:00", "sold_at": "2026-01-03 00:00:00"}
    good, bad = split_bad_rows(
        raw(spark, late, {"sold_at": None}, {**early, "sold_at": None}), DEFINITION
    )
    (kept,) = good.collect()
    assert (kept.price, [version.price for version in kept["_earlier"]]) == (7.0, [6.0, 9.5])
    assert told(bad) == [("superseded", 6.0), ("superseded", 9.5)]


def test_of_rows_that_all_came_too_late_the_latest_is_kept(spark: SparkSession) -> None:
    rows = [
        {"price": str(hour), "planned_at": f"2026-01-02 0{hour}:00:00", "sold_at": None}
        for hour in (5, 7, 6)
    ]
    good, _ = split_bad_rows(raw(spark, *rows), DEFINITION)
    assert [row.price for row in good.collect()] == [7.0]


def test_rows_that_differ_in_which_value_is_null_are_not_the_same(spark: SparkSession) -> None:
    user, age, *others = DEFINITION.stream.columns
    columns = (user, age, replace(age, name="other"), *others)
    frame = raw(spark, {"age": "5"}, {"age": None})
    both = frame.withColumn("other", F.when(frame.age.isNull(), F.lit(5)))
    good, bad = split_bad_rows(both, changed(DEFINITION, columns=columns))
    assert (good.count(), bad.count()) == (1, 1)


def told(bad_df: DataFrame) -> list[tuple[str, float]]:
    """Return the reason and the price of each bad row."""
    return sorted((row.reason, json.loads(row.row)["price"]) for row in bad_df.collect())


DECOMPOSED, COMPOSED = "Le\u0301a \u212b", "L\u00e9a \u00c5"


def test_text_of_another_unicode_form_is_the_same_key(spark: SparkSession) -> None:
    rows = raw(spark, {"user": DECOMPOSED}, {"user": COMPOSED, "price": "8"}, {"user": None})
    good, bad = split_bad_rows(rows, DEFINITION)
    assert [row.user for row in good.collect()] == [COMPOSED]
    assert sorted(row.reason for row in bad.collect()) == ["duplicate_key", "null(user)"]


def test_a_column_may_keep_its_text_as_it_was_delivered(spark: SparkSession) -> None:
    columns = (
        replace(DEFINITION.stream.columns[0], normalize="none"),
        *DEFINITION.stream.columns[1:],
    )
    rows = raw(spark, {"user": DECOMPOSED}, {"user": COMPOSED})
    good, _ = split_bad_rows(rows, changed(DEFINITION, columns=columns))
    assert sorted(row.user for row in good.collect()) == sorted([DECOMPOSED, COMPOSED])


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
    good, _ = split_bad_rows(raw(spark, {"sold_at": None}), changed(DEFINITION, name="shop2"))
    assert good.collect()[0].sold_at is None


def test_the_ceiling_stops_with_the_reasons() -> None:
    check_ceiling("shop", DAY, 1, 100, 0.01, {"null(price)": 1})
    check_ceiling("shop", DAY, 0, 0, 0.0)
    with pytest.raises(TooManyBadRows, match=r"2 bad of 100 rows \(2.00%, ceiling 1.00%\): "):
        check_ceiling("shop", DAY, 2, 100, 0.01, {"null(price)": 2})
