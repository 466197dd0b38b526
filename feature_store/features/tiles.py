"""Daily partial aggregates, of which history windows are sums.

A tile holds, for one event day, one history and one key: how many values there are and their exact
sum, apart for each day from which they may be used. So a value that became known late, or whose key
did, counts from the day after it was known, and a window never sees it earlier.

What no sum tells has tiles of values: the least and the largest of a day, or, as soon as one of the
day was corrected, each value by itself, with how many times it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.versions import SINCE, UNTIL, earlier_versions, latest_version
from feature_store.features.sums import BAND, DIGITS, band_of, next_value, scaled
from feature_store.features.values import evaluated, last_known, number, resolved
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from feature_store.definition import Tiling
    from feature_store.features.values import Resolved

SEPARATOR = "\u001f"

TILE_SCHEMA = (
    "ds date, history string, key string, usable_from date, band int, n bigint, "
    + ", ".join(f"{digit} bigint" for digit in DIGITS)
    + ", item bigint, at timestamp, low double, high double, text string"
)


def key_text(keys: Sequence[str]) -> Column:
    """Return the text key of a row for a history; null where one of its columns is null."""
    parts = [F.col(key).cast("string") for key in keys]
    return reduce(lambda left, right: F.concat(left, F.lit(SEPARATOR), right), parts)


def days_counted(
    tiles_df: DataFrame, first: Column, last: Column, days: Sequence[date]
) -> DataFrame:
    """Return each tile once for each of `days`, `_day`, from its first to its last."""
    begins, ends = F.greatest(first, F.lit(min(days))), F.least(last, F.lit(max(days)))
    # A sequence whose end lies before its beginning would run backwards.
    counting = tiles_df.where(begins <= ends)
    each = counting.withColumn("_day", F.explode(F.sequence(begins, ends)))
    return each.where(F.col("_day").isin(list(days)))


def build_tiles(events_df: DataFrame, tilings: Sequence[Tiling]) -> DataFrame:
    """Return the tiles of the days in `events_df`, of several histories together.

    Args:
        events_df: the events of one stream.
        tilings: what to make of them; one or more, of that stream and of one cut-off.

    Columns: ds (the event day), history (the digest of its tiling), key, usable_from (the first day
    whose cut-off is after the values and their keys were known) and n (count). Of sums: band (of
    the values' size) and the digits of their sum; see `feature_store.features.sums`. If there are
    others than sums: low and high, the least and the largest value; at, their time; item, a hash
    that tells different ones apart. If there are sequences: text, the value itself. A value that
    was corrected counts until its correction is known: from then on a tile takes it off again.
    """
    stream, cutoff_hours = tilings[0].stream, tilings[0].cutoff_hours
    changes = latest_version(events_df, stream).transform(_values, tilings)
    changes = changes.withColumn("sign", F.lit(1))
    earlier, ends = earlier_versions(events_df, stream), None
    if earlier is not None:
        # A version of which something became known only after its correction was never seen.
        seen = earlier.transform(_values, tilings).where(F.col("known_at") < F.col(UNTIL))
        begins = seen.withColumn("sign", F.lit(1))
        ends = seen.withColumns({"known_at": F.col(UNTIL), "sign": F.lit(-1)})
        changes = changes.unionByName(begins).unionByName(ends)
    shifted = F.col("known_at") - F.expr(f"INTERVAL {cutoff_hours} HOURS")
    rows = changes.withColumn("usable_from", F.date_add(shifted.cast("date"), 1))
    kept = [tiling for tiling in tilings if not tiling.is_summed]
    rows = _in_digits(rows, [tiling.digest for tiling in kept])
    by = [DS, "history", "key", "usable_from", BAND]
    made = [F.sum("sign").alias("n")]
    made += [
        F.sum(F.col("sign") * F.col(f"_{i}").cast("bigint")).alias(name)
        for i, name in enumerate(DIGITS)
    ]
    if kept:
        rows, by = _told_apart(rows, kept, ends), [*by, "item", "at", "_apart"]
        made += [F.min("_kept").alias("low"), F.max("_kept").alias("high")]
    if any(tiling.kind == "texts" for tiling in kept):
        by = [*by, "text"]
    tiles = rows.groupBy(*by).agg(*made).drop("_apart")
    # What is taken off on the day on which the same is added changes nothing.
    return tiles.where(" OR ".join(f"{name} <> 0" for name in ("n", *DIGITS)))


def _in_digits(rows_df: DataFrame, kept: Sequence[str]) -> DataFrame:
    """Return the rows with the band of their value and its digits, but for the tilings `kept`."""
    value = F.when(~F.col("history").isin(list(kept)), F.col("value")) if kept else F.col("value")
    rows = rows_df.withColumn(BAND, band_of(value)).withColumn("_0", scaled(value, F.col(BAND)))
    for index in range(1, len(DIGITS)):
        rows = rows.withColumn(f"_{index}", next_value(F.col(f"_{index - 1}")))
    return rows


def _told_apart(rows_df: DataFrame, kept: Sequence[Tiling], ends_df: DataFrame | None) -> DataFrame:
    """Return the rows with the value that is kept, and `_apart`: it again, if it is kept by itself.

    The least and the largest value of a day are enough, for as long as nothing is taken off again:
    where something is, each value stays.
    """
    of = {
        kind: F.col("history").isin([tiling.digest for tiling in kept if tiling.kind == kind])
        for kind in ("extremes", "moments")
    }
    is_apart = of["moments"]
    if ends_df is not None:
        of_extremes = ends_df.where(of["extremes"]).select(DS, "history", "key").distinct()
        corrected = F.broadcast(of_extremes.withColumn("_corrected", F.lit(True)))
        rows_df = rows_df.join(corrected, [DS, "history", "key"], "left")
        is_apart |= F.coalesce("_corrected", F.lit(False))
    value = F.when(of["extremes"] | of["moments"], F.col("value"))
    return rows_df.withColumns({"_kept": value, "_apart": F.when(is_apart, F.col("value"))})


def _values(versions_df: DataFrame, tilings: Sequence[Tiling]) -> DataFrame:
    """Return what every history takes of a version: of which key, known when, and until when."""
    candidates = [_candidate(versions_df.sparkSession, tiling) for tiling in tilings]
    # Not before the correction that made this version; `greatest` passes over a null.
    known_at = F.greatest("known_at", SINCE)
    return (
        versions_df.select(DS, SINCE, UNTIL, F.explode(F.array(*candidates)).alias("t"))
        .select(DS, SINCE, UNTIL, "t.*")
        .where("key IS NOT NULL AND (value IS NOT NULL OR item IS NOT NULL OR text IS NOT NULL)")
        .where("known_at IS NOT NULL")
        .select(
            DS, UNTIL, "history", "key", "value", "item", "at", "text", known_at.alias("known_at")
        )
    )


def _candidate(spark: SparkSession, tiling: Tiling) -> Column:
    """Return what one history takes of a version; null where it takes nothing."""
    found = resolved_value(spark, tiling)
    taken = {*tiling.keys, *found.columns}
    value, item = F.lit(None).cast("double"), F.lit(None).cast("bigint")
    at, text = F.lit(None), F.lit(None)
    if tiling.kind == "texts":
        text = _text(spark, tiling.value, found)
    elif tiling.kind == "items":
        told = _text(spark, tiling.value, found)
        item = F.when(told.isNotNull(), F.xxhash64(told))  # of a null it is no null
    elif tiling.kind == "squares":
        square = number(spark, tiling.value) * number(spark, tiling.value)
        value = F.when(square < float("inf"), square)
    else:
        value = number(spark, tiling.value)
    if tiling.is_timed:
        at, taken = F.col(tiling.stream.event_time), {*taken, tiling.stream.event_time}
    return F.struct(
        F.lit(tiling.digest).alias("history"),
        key_text(tiling.keys).alias("key"),
        value.alias("value"),
        item.alias("item"),
        at.cast("timestamp").alias("at"),
        text.cast("string").alias("text"),
        last_known(tiling.stream, tiling.known, taken).alias("known_at"),
    )


def _text(spark: SparkSession, expression: str, found: Resolved) -> Column:
    """Return the text of a value: the same for equal ones, null where there is none."""
    if found.dtype in ("float", "double"):
        return (number(spark, expression) + 0.0).cast("string")  # of two zeros, one
    return evaluated(spark, expression).cast("string")


def resolved_value(spark: SparkSession, tiling: Tiling) -> Resolved:
    """Return what Spark makes of the value of a history."""
    return resolved(spark, tiling.stream, "a history", tiling.value)
