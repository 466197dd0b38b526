"""Sums of any doubles are exact, in whatever parts and order they are added up."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F

from feature_store.definition import History
from feature_store.errors import PartitionNotReady
from feature_store.features.asks import Wanted
from feature_store.features.histories import window_sums
from feature_store.features.tiles import build_tiles
from tests.toy import FIRST_DAY, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Definition

DAY = toy_days(4)[3]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
EDGES = st.sampled_from(
    [0.1, -0.1, 1e-7, 1e13, 1e300, -1e300, 1e-300, 5e-324, -0.0, 2.0**30, 2.0**31, -(2.0**31),
     2.0**-30, math.nextafter(2.0**31, 0), math.nextafter(2.0**31, math.inf), 1 / 3, 2.0**90,
     math.nextafter(2.0**-30, 0), -(2.0**150), 1.7e308, -1.7e308]
)  # fmt: skip
VALUES = ("clicked", "NOT clicked", "clicked AND price > 0")
LISTS = st.lists(st.lists(st.one_of(FINITE, EDGES), min_size=1, max_size=12), max_size=25)


def definition_of(value: str = "price") -> Definition:
    toy = toy_definition(())
    history = History(
        name="spend", keys=("item",), value=value, known="click", windows=(3,),
        aggregates=("sum", "mean", "count"),
    )  # fmt: skip
    columns = tuple(
        replace(c, minimum=None) if c.name == "price" else c for c in toy.stream.columns
    )
    return changed(toy, columns=columns, histories=(history,))


def tiles(events_df: DataFrame, definition: Definition) -> DataFrame:
    """Return the tiles of all histories of the one stream there is."""
    return build_tiles(events_df, definition.tilings(definition.stream))


def events(spark: SparkSession, rows: list[tuple[str, int, float]]) -> DataFrame:
    """Return events of (item, day, price)."""
    made = [Row(day=d, user="u", item=i, price=p, click_known=20).values() for i, d, p in rows]
    schema = (
        "ds date, user string, item string, price double, planned_at timestamp, "
        "happened_at timestamp, clicked boolean, click_known_at timestamp, source_file string"
    )
    return spark.createDataFrame(made, schema).drop("source_file")


def asked(tiles: DataFrame, definition: Definition, days: Sequence[date]) -> DataFrame:
    """Return a row for each of `days` and each history and key of the tiles."""
    names = [definition.tiling(history).digest for history in definition.histories]
    places = tiles.sparkSession.createDataFrame(list(enumerate(names)), "_history int, name string")
    keys = tiles.select(F.col("history").alias("name"), F.col("key").alias("_key")).distinct()
    each = F.explode(F.array(*[F.lit(day) for day in days])).alias("ds")
    return keys.join(places, "name").select(each, "_history", "_key")


def totals(tiles: DataFrame, definition: Definition) -> dict[str, tuple[int, float | None]]:
    rows = window_sums(
        asked(tiles, definition, [DAY]), tiles, Wanted.of(definition), [DAY]
    ).collect()
    return {row["_key"]: (row["_n_0"], row["_total_0"]) for row in rows}


def exact(values: list[float]) -> float | None:
    try:  # not `fsum`, which gives up where a part of the sum is too large
        return float(sum(map(Fraction, values)))
    except OverflowError:
        return None


def is_near(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        largest = 1.79e308  # one unit below infinity, one may see it and the other not
        return abs(found or wanted or math.inf) >= largest
    return abs(found - wanted) <= math.ulp(wanted)


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(lists=LISTS, seed=st.integers(0, 1 << 30))
def test_a_sum_is_that_of_real_numbers_in_any_order_and_partition(
    spark: SparkSession, lists: list[list[float]], seed: int
) -> None:
    rng = random.Random(seed)
    for values in list(lists):  # most of what cancels, cancels exactly
        lists.append(values + [-v for v in values if rng.random() < 0.7])
    rows = [(f"i{k}", rng.randrange(3), v) for k, vs in enumerate(lists) for v in vs]
    definition = definition_of()
    at_once = totals(tiles(events(spark, rows), definition), definition)
    rng.shuffle(rows)
    by_day = [[row for row in rows if row[1] == day] for day in range(3)]
    parts = [tiles(events(spark, part).repartition(3), definition) for part in by_day if part]
    if parts:
        merged = parts[0]
        for part in parts[1:]:
            merged = part.unionByName(merged)
        assert totals(merged, definition) == at_once
    for key, values in enumerate(lists):
        count, found = at_once[f"i{key}"]
        assert count == len(values)
        assert is_near(found, exact(values)), (values, found, exact(values))


def test_small_and_large_values_count_for_what_they_are(spark: SparkSession) -> None:
    rows = [
        *[("small", 0, 1e-7), ("large", 0, 1e13), ("beyond", 0, 1.7e308)] * 3,
        *[("both", 0, 1e300), ("both", 1, 1.0), ("both", 2, -1e300), ("tiny", 0, 5e-324)],
    ]
    found = totals(tiles(events(spark, rows), definition_of()), definition_of())
    assert found == {
        "small": (3, 3e-7),
        "large": (3, 3e13),
        "both": (3, 1.0),
        "beyond": (3, None),
        "tiny": (1, 5e-324),
    }


@pytest.mark.parametrize("value", ["cast(price AS int)", "price > 0"])
def test_whole_numbers_are_their_own_digit(spark: SparkSession, value: str) -> None:
    rows = [("i", 0, float(v)) for v in (2**31 - 1, 2**31 - 1, -(2**31), 5, 0)]
    definition = definition_of(value)
    found = totals(tiles(events(spark, rows), definition), definition)
    numbers = [v for _, _, v in rows] if "cast" in value else [v > 0 for _, _, v in rows]
    assert found == {"i": (5, float(sum(numbers)))}


@pytest.mark.parametrize("value", ["price", "price > 0"])
def test_tiles_of_another_layout_are_refused_and_not_added_up(
    spark: SparkSession, value: str
) -> None:
    definition = definition_of(value)
    rows = [("i", day, 1.0) for day in (0, 1)]
    made = tiles(events(spark, rows), definition)
    old = made.where(F.col("ds") == F.lit(FIRST_DAY + timedelta(days=1))).select(
        "ds", "history", "key", "usable_from", "n", F.lit(1_000_000).cast("bigint").alias("total")
    )
    mixed = made.where(F.col("ds") == F.lit(FIRST_DAY)).unionByName(old, allowMissingColumns=True)
    with pytest.raises(PartitionNotReady, match="older layout"):
        window_sums(asked(old, definition, [DAY]), old, Wanted.of(definition), [DAY])
    with pytest.raises(Exception, match="older layout"):
        window_sums(asked(mixed, definition, [DAY]), mixed, Wanted.of(definition), [DAY]).collect()


# One history alone is like no other.
@pytest.mark.parametrize(
    ("windows", "are_alike"),
    [
        pytest.param(((1, 3), (2,), (5, 2, 4)), False, marks=pytest.mark.slow),
        (((1, 3), (2,), (5, 2, 4)), True),
        pytest.param(((4,),), False, marks=pytest.mark.slow),
    ],
)
def test_sums_of_many_days_are_those_of_each_day_by_itself(
    spark: SparkSession, windows: tuple[tuple[int, ...], ...], are_alike: bool
) -> None:
    """Tiles that come late, are taken off again, and leave a short window before they came.

    Histories that are made alike, and differ in their windows, take the same tiles.
    """
    rng = random.Random(len(windows))
    toy = toy_definition(())
    histories = tuple(
        replace(toy.histories[0], name=f"h{i}", windows=own, value=VALUES[0 if are_alike else i])
        for i, own in enumerate(windows)
    )
    definition = changed(toy, histories=histories)
    made_of = [definition.tiling(history).digest for history in histories]
    rows = []
    for _ in range(60):
        ds = DAY + timedelta(days=rng.randrange(-6, 9))
        usable_from = ds + timedelta(days=rng.choice([0, 1, 1, 1, 2, 4, 20]))
        of = rng.choice(made_of), rng.choice("abc")
        rows.append((ds, *of, usable_from, 0, rng.choice([1, 1, 2, -1]), rng.randrange(-3, 9)))
    schema = "ds date, history string, key string, usable_from date, band int, n bigint"
    tiles = spark.createDataFrame(rows, f"{schema}, digit_0 bigint")
    days = [DAY + timedelta(days=i) for i in (0, 1, 2, 5, 8)]

    def told(some: list[date]) -> set[tuple[object, ...]]:
        rows = window_sums(
            asked(tiles, definition, some), tiles, Wanted.of(definition), some
        ).collect()
        return {
            (row["ds"], f"h{row['_history']}", row["_key"], w, row[f"_n_{i}"], row[f"_total_{i}"])
            for row in rows
            for i, w in enumerate(windows[row["_history"]])
            if row[f"_n_{i}"]
        }

    def counted(day: date) -> set[tuple[object, ...]]:
        sums: dict[tuple[str, str, int], list[int]] = {}
        for ds, history, key, usable_from, _, n, digit in rows:
            for place in (i for i, digest in enumerate(made_of) if digest == history):
                for w in windows[place]:
                    if day - timedelta(days=w) <= ds < day and usable_from <= day:
                        own = sums.setdefault((f"h{place}", key, w), [0, 0])
                        own[:] = own[0] + n, own[1] + digit
        return {(day, *key, n, float(digit)) for key, (n, digit) in sums.items() if n}

    wanted = set[tuple[object, ...]]().union(*map(counted, days))
    assert len(wanted) > 10
    assert told(days) == wanted
    assert set[tuple[object, ...]]().union(*(told([day]) for day in days)) == wanted
