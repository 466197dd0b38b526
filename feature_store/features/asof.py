"""As-of joins: the latest row of a side table that was known before the cut-off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.content import content_hash
from feature_store.events.cutoff import cutoff_column
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Lookup


def join_lookup(
    rows_df: DataFrame, side_df: DataFrame, lookup: Lookup, definition: Definition
) -> DataFrame:
    """Return `rows_df` with a struct column named after the lookup; its fields null if no match.

    For each row the match is the side row of the same keys with the greatest (event_time, known_at,
    hash of its columns) among those with `known_at` before the cut-off of the row's `ds`, and,
    unless the lookup is a snapshot, `event_time` in (at - max_age, at]. Rows are told apart by
    `ds` and the definition's keys, which must be unique.
    """
    names = [c.name for c in lookup.columns]
    side = side_df.select(
        *[F.col(key).alias(f"_k_{key}") for key in lookup.keys],
        F.col("event_time").alias("_event_time"),
        F.col("known_at").alias("_known_at"),
        content_hash(names).alias("_hash"),
        F.struct(*names).alias("_value"),
    )
    on = [F.col(key) == F.col(f"_k_{key}") for key in lookup.keys]
    on.append(F.col("_known_at") < cutoff_column(definition))
    rows = rows_df
    if lookup.at is not None:
        rows, side, near = _near_in_time(rows_df, side, lookup)
        on += near
    identity = [DS, *definition.keys]
    best = (
        rows.join(side, on, "inner")
        .groupBy(*identity)
        .agg(F.max_by("_value", F.struct("_event_time", "_known_at", "_hash")).alias(lookup.name))
    )
    return rows_df.join(best, identity, "left")


def _near_in_time(
    rows: DataFrame, side: DataFrame, lookup: Lookup
) -> tuple[DataFrame, DataFrame, list[Column]]:
    """Add time buckets of `max_age`, so that the join is on equality and stays a hash join.

    A row's match lies in its own bucket or the one before; each side row is put in both.
    """
    assert lookup.at is not None  # noqa: S101 - checked at load
    assert lookup.max_age_hours is not None  # noqa: S101 - checked at load
    age = lookup.max_age_hours * 3600
    bucket = (F.unix_timestamp("_event_time") / age).cast("bigint")
    side = side.withColumn("_bucket", F.explode(F.array(bucket, bucket + 1)))
    rows = rows.withColumn("_at_bucket", (F.unix_timestamp(lookup.at) / age).cast("bigint"))
    oldest = F.col(lookup.at) - F.expr(f"INTERVAL {lookup.max_age_hours} HOURS")
    return (
        rows,
        side,
        [
            F.col("_at_bucket") == F.col("_bucket"),
            F.col("_event_time") <= F.col(lookup.at),
            F.col("_event_time") > oldest,
        ],
    )
