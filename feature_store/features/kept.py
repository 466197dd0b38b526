"""What histories tell that no sum does: least and largest, first and last, how many different.

A tile of these keeps values themselves, and how many times each is told: a correction takes one
time off again, from when it is known, and what is told of a value no more does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.asks import of_ask, places_of
from feature_store.features.tiles import days_counted
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.features.asks import Wanted

_VALUE = ("item", "at", "low", "high")


def with_kept(
    asked_df: DataFrame, tiles_df: DataFrame, wanted: Wanted, days: Sequence[date]
) -> DataFrame:
    """Return `asked_df` with what is kept of values, over every window i of the history asked.

    Adds _min_<i>, _max_<i>, _first_<i>, _last_<i> (doubles) and _distinct_<i>; null where the
    window holds no value. A tile of day t counts for day d when d - w <= t < d and
    usable_from <= d.

    Args:
        asked_df: rows of `days` with _history and _key.
        tiles_df: tiles of the windows before `days`.
        wanted: the histories, and what tells the rows apart.
        days: the days of the rows.
    """
    kept = [ask.tiling for ask in wanted.asks if not ask.tiling.is_summed]
    own = tiles_df.where(F.col("history").isin([tiling.digest for tiling in kept]))
    own = own.withColumn("_history", places_of(wanted.asks))
    last = F.date_add(DS, of_ask(wanted.longest_windows))
    counting = days_counted(own, F.greatest(F.date_add(DS, 1), "usable_from"), last, days)
    begins = [F.date_sub(F.col("_day"), of_ask(windows)) for windows in wanted.windows]
    times = [
        F.sum(F.when(F.col(DS) >= begin, F.col("n"))).alias(f"_n_{i}")
        for i, begin in enumerate(begins)
    ]
    standing = counting.groupBy("_history", "key", "_day", *_VALUE).agg(*times)
    has_times = any(tiling.kind == "moments" for tiling in kept)
    columns = [column for i in range(len(times)) for column in _kept(i, has_times=has_times)]
    found = standing.groupBy(F.col("_day").alias(DS), "_history", F.col("key").alias("_key")).agg(
        *columns
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
