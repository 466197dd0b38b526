"""Daily partial aggregates, and history windows as sums of them.

A tile holds, for one event day, one history and one key: how many values there are and their sum,
apart for each day from which they may be used. So a value that became known late, or whose key did,
counts from the day after it was known, and a window never sees it earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, History

_SCALE = 1_000_000
"""Sums are kept in whole millionths: exact, so the same in any order of adding."""
_SEPARATOR = "\u001f"


def history_key(history: History) -> Column:
    """Return the text key of a row for a history; null where one of its columns is null."""
    parts = [F.col(key).cast("string") for key in history.keys]
    return reduce(lambda left, right: F.concat(left, F.lit(_SEPARATOR), right), parts)


def build_tiles(
    events_df: DataFrame, definition: Definition, histories: Sequence[History] | None = None
) -> DataFrame:
    """Return the tiles of the days in `events_df`, in one pass over it.

    Args:
        events_df: the events.
        definition: the pipeline.
        histories: those of its histories to make tiles of; all by default.

    Columns: ds (the event day), history, key, usable_from (the first day whose cut-off is after
    the values and their keys were known), n (count), total (sum in millionths).
    """
    candidates = [
        F.struct(
            F.lit(history.name).alias("history"),
            history_key(history).alias("key"),
            F.expr(history.value).cast("double").alias("value"),
            _known_at(history, definition).alias("known_at"),
        )
        for history in (definition.histories if histories is None else histories)
    ]
    shifted = F.col("known_at") - F.expr(f"INTERVAL {definition.cutoff_hours} HOURS")
    return (
        events_df.select(DS, F.explode(F.array(*candidates)).alias("t"))
        .select(DS, "t.*")
        .where("key IS NOT NULL AND value IS NOT NULL AND known_at IS NOT NULL")
        .withColumn("usable_from", F.date_add(shifted.cast("date"), 1))
        .groupBy(DS, "history", "key", "usable_from")
        .agg(
            F.count(F.lit(1)).alias("n"),
            F.sum(F.round(F.col("value") * _SCALE).cast("bigint")).alias("total"),
        )
    )


def _known_at(history: History, definition: Definition) -> Column:
    """Return when the last of all that a value and its key are made of became known, or null."""
    taken = {*history.keys, *definition.taken_by(history.value)}
    groups = {history.known, *(c.known for c in definition.columns if c.name in taken)}
    times = [F.col(definition.known(group).at) for group in sorted(groups)]
    # `greatest` passes over a null, which means never known.
    is_known = reduce(lambda left, right: left & right, [time.isNotNull() for time in times])
    return F.when(is_known, F.greatest(*times)) if len(times) > 1 else times[0]


def window_sums(tiles_df: DataFrame, definition: Definition, days: Sequence[date]) -> DataFrame:
    """Return for each of `days`, history and key the sums over every window that history has.

    Columns: ds (the day the sums are for), history, key, n_<w>, total_<w> for each window w of the
    definition. A tile of day t counts for day d when d - w <= t < d and usable_from <= d.
    """
    longest = definition.max_window
    start = F.greatest(F.date_add(DS, 1), F.col("usable_from"), F.lit(min(days)))
    end = F.least(F.date_add(DS, longest), F.lit(max(days)))
    age = F.datediff("day", DS)
    windows = sorted({w for history in definition.histories for w in history.windows})
    sums = [
        F.sum(F.when(age <= window, F.col(column))).alias(f"{column}_{window}")
        for window in windows
        for column in ("n", "total")
    ]
    return (
        tiles_df.where(start <= end)
        .withColumn("day", F.explode(F.sequence(start, end)))
        .where(F.col("day").isin(list(days)))
        .groupBy("day", "history", "key")
        .agg(*sums)
        .withColumnRenamed("day", DS)
    )


def join_histories(rows_df: DataFrame, sums_df: DataFrame, definition: Definition) -> DataFrame:
    """Return `rows_df` with the feature columns of every history."""
    joined = rows_df
    for history in definition.histories:
        features = [
            _aggregate(aggregate, window).alias(name)
            for name, aggregate, window in history.columns()
        ]
        sums = sums_df.where(F.col("history") == history.name).select(
            F.col(DS).alias("_ds"), F.col("key").alias("_key"), *features
        )
        on = (F.col(DS) == F.col("_ds")) & (history_key(history) == F.col("_key"))
        joined = joined.join(sums, on, "left").drop("_ds", "_key")
        counts = {n: F.coalesce(n, F.lit(0.0)) for n, a, _ in history.columns() if a == "count"}
        joined = joined.withColumns(counts)
    return joined


def empty_histories(definition: Definition) -> dict[str, Column]:
    """Return the history columns of a row that has no history at all."""
    columns = (column for history in definition.histories for column in history.columns())
    return {
        name: F.lit(0.0 if aggregate == "count" else None).cast("double")
        for name, aggregate, _ in columns
    }


def _aggregate(aggregate: str, window: int) -> Column:
    count, total = F.col(f"n_{window}").cast("double"), F.col(f"total_{window}") / _SCALE
    return {"count": count, "sum": total, "mean": total / count}[aggregate]
