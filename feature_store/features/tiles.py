"""Daily partial aggregates, of which history windows are sums.

A tile holds, for one event day, one history and one key: how many values there are and their exact
sum, apart for each day from which they may be used. So a value that became known late, or whose key
did, counts from the day after it was known, and a window never sees it earlier.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.versions import SINCE, UNTIL, earlier_versions, latest_version
from feature_store.features.sums import BAND, DIGITS, band_of, next_value, scaled
from feature_store.features.values import last_known, number, resolved
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from feature_store.definition import Tiling
    from feature_store.features.values import Resolved

SEPARATOR = "\u001f"


TILE_SCHEMA = (
    "ds date, history string, key string, usable_from date, band int, n bigint, "
    + ", ".join(f"{digit} bigint" for digit in DIGITS)
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
    whose cut-off is after the values and their keys were known), band (of the values' size), n
    (count) and the digits of their sum; see `feature_store.features.sums`. A value that was
    corrected counts until its correction is known: from then on a tile takes it off again.
    """
    stream, cutoff_hours = tilings[0].stream, tilings[0].cutoff_hours
    changes = latest_version(events_df, stream).transform(_values, tilings)
    changes = changes.withColumn("sign", F.lit(1))
    earlier = earlier_versions(events_df, stream)
    if earlier is not None:
        # A version of which something became known only after its correction was never seen.
        seen = earlier.transform(_values, tilings).where(F.col("known_at") < F.col(UNTIL))
        begins = seen.withColumn("sign", F.lit(1))
        ends = seen.withColumns({"known_at": F.col(UNTIL), "sign": F.lit(-1)})
        changes = changes.unionByName(begins).unionByName(ends)
    shifted = F.col("known_at") - F.expr(f"INTERVAL {cutoff_hours} HOURS")
    rows = (
        changes.withColumn("usable_from", F.date_add(shifted.cast("date"), 1))
        .withColumn(BAND, band_of(F.col("value")))
        .withColumn("_0", scaled(F.col("value"), F.col(BAND)))
    )
    for index in range(1, len(DIGITS)):
        rows = rows.withColumn(f"_{index}", next_value(F.col(f"_{index - 1}")))
    digits = [
        F.sum(F.col("sign") * F.col(f"_{i}").cast("bigint")).alias(name)
        for i, name in enumerate(DIGITS)
    ]
    sums = rows.groupBy(DS, "history", "key", "usable_from", BAND).agg(
        F.sum("sign").alias("n"), *digits
    )
    # What is taken off on the day on which the same is added changes nothing.
    return sums.where(" OR ".join(f"{name} <> 0" for name in ("n", *DIGITS)))


def _values(versions_df: DataFrame, tilings: Sequence[Tiling]) -> DataFrame:
    """Return what every history takes of a version: of which key, known when, and until when."""
    spark = versions_df.sparkSession
    candidates = [
        F.struct(
            F.lit(tiling.digest).alias("history"),
            key_text(tiling.keys).alias("key"),
            number(spark, tiling.value).alias("value"),
            last_known(
                tiling.stream,
                tiling.known,
                {*tiling.keys, *resolved_value(spark, tiling).columns},
            ).alias("known_at"),
        )
        for tiling in tilings
    ]
    # Not before the correction that made this version; `greatest` passes over a null.
    known_at = F.greatest("known_at", SINCE)
    return (
        versions_df.select(DS, SINCE, UNTIL, F.explode(F.array(*candidates)).alias("t"))
        .select(DS, SINCE, UNTIL, "t.*")
        .where("key IS NOT NULL AND value IS NOT NULL AND known_at IS NOT NULL")
        .select(DS, UNTIL, "history", "key", "value", known_at.alias("known_at"))
    )


def resolved_value(spark: SparkSession, tiling: Tiling) -> Resolved:
    """Return what Spark makes of the value of a history."""
    return resolved(spark, tiling.stream, "a history", tiling.value)
