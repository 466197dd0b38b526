"""What histories tell that no sum does: least and largest, first and last, how many different.

A tile of these keeps values themselves, and how many times each is told: a correction takes one
time off again, from when it is known, and what is told of a value no more does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import zip_longest
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.tiles import days_counted
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.features.asks import Ask

_VALUE = ("item", "at", "low", "high")


def with_kept(
    asked_df: DataFrame, tiles_df: DataFrame, asks: Mapping[int, Ask], days: Sequence[date]
) -> DataFrame:
    """Return `asked_df` with what the tiles of each ask keep, over every window i of its history.

    Adds _min_<i>, _max_<i>, _first_<i>, _last_<i> (doubles) and _distinct_<i>; null where the
    window holds no value. A tile of day t counts for day d when d - w <= t < d and
    usable_from <= d.

    Args:
        asked_df: rows of `days` with _history and _key.
        tiles_df: tiles of the windows before `days`.
        asks: what is asked, by its place `_history`.
        days: the days of the rows.
    """
    windows = list(zip_longest(*(ask.history.windows for ask in asks.values())))
    digests = {place: ask.tiling.digest for place, ask in asks.items()}
    asked_for = F.array(
        *[
            F.struct(F.lit(place).alias("place"), F.lit(name).alias("of"))
            for place, name in digests.items()
        ]
    )
    taking = F.filter(asked_for, lambda ask: ask["of"] == F.col("history"))
    own = tiles_df.where(F.col("history").isin(list(digests.values()))).withColumn(
        "_history", F.explode(F.transform(taking, lambda ask: ask["place"]))
    )

    def window(days_of: Mapping[int, int | None]) -> Column:
        """Return the days of a window, of each history its own; null where it has none."""
        pairs = [F.lit(item) for pair in days_of.items() for item in pair if pair[1] is not None]
        return F.create_map(*pairs)[F.col("_history")]

    longest = window({place: max(ask.history.windows) for place, ask in asks.items()})
    counting = days_counted(
        own, F.greatest(F.date_add(DS, 1), "usable_from"), F.date_add(DS, longest), days
    )
    each = [window(dict(zip(asks, own, strict=True))) for own in windows]
    times = [
        F.sum(F.when(F.col(DS) >= F.date_sub(F.col("_day"), days_of), F.col("n"))).alias(f"_n_{i}")
        for i, days_of in enumerate(each)
    ]
    standing = counting.groupBy("_history", "key", "_day", *_VALUE).agg(*times)
    has_times = any(ask.tiling.kind == "moments" for ask in asks.values())
    kept = [column for i in range(len(each)) for column in _kept(i, has_times=has_times)]
    found = standing.groupBy(F.col("_day").alias(DS), "_history", F.col("key").alias("_key")).agg(
        *kept
    )
    return asked_df.join(found, [DS, "_history", "_key"], "left")


def _kept(i: int, *, has_times: bool) -> list[Column]:
    """Return what stands of the values in window i."""
    stands = F.col(f"_n_{i}") > 0
    low, high = F.col("low"), F.col("high")
    columns = [
        F.min(F.when(stands, low)).alias(f"_min_{i}"),
        F.max(F.when(stands, high)).alias(f"_max_{i}"),
        F.count(F.when(stands, F.col("item"))).alias(f"_distinct_{i}"),
    ]
    if not has_times:  # to compare pairs, rows are sorted
        return columns
    first = F.min(F.when(stands, F.struct("at", low.alias("value"))))
    last = F.max(F.when(stands, F.struct("at", high.alias("value"))))
    return [*columns, first["value"].alias(f"_first_{i}"), last["value"].alias(f"_last_{i}")]
