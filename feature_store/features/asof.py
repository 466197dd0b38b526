"""As-of joins: the latest row of a side table that was known before the cut-off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.content import content_hash
from feature_store.events.cutoff import cutoff_column
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Lookup


AHEAD_HOURS = 24
"""A day of a side table is read as soon as it may be known: a day before it begins, or when due."""
_MOMENT = "INTERVAL 1 MICROSECOND"


def join_lookups(
    rows_df: DataFrame,
    sides: Mapping[str, DataFrame],
    definition: Definition,
    snapshots: Mapping[str, Sequence[date]] | None = None,
) -> DataFrame:
    """Return `rows_df` with a struct column for each lookup; its fields are null if nothing fits.

    Rows are told apart by `ds` and the definition's keys, which must be unique.

    Args:
        rows_df: rows known before their cut-off.
        sides: by lookup, at least the days of its side table that the rows may read, as far as
            there are any.
        definition: the pipeline.
        snapshots: by lookup, the days of a snapshot's table that has more than one.
    """
    joined = rows_df
    for lookup in definition.lookups:
        # What fits follows from the rows alone: found in rows that other lookups were joined to,
        # each lookup would double the work of those before it.
        dated = (snapshots or {}).get(lookup.name, ())
        fitting = _newest_fitting(rows_df, sides[lookup.name], lookup, definition, dated)
        joined = joined.join(fitting, [DS, *definition.keys], "left")
    return joined


def _newest_fitting(
    rows_df: DataFrame,
    side_df: DataFrame,
    lookup: Lookup,
    definition: Definition,
    snapshots: Sequence[date],
) -> DataFrame:
    """Return for each row that something fits: `ds`, its keys, and that, named after the lookup.

    It is the side row of the same keys with the greatest (event_time, known_at, hash of its
    columns) among those with `known_at` before the cut-off of the row's `ds`, with `event_time` in
    (at - max_age, at], and on one of the days that `read_days` gives. So what else `side_df` holds
    makes no difference. Of a snapshot the greatest day comes first, and `event_time` does not
    count.
    """
    names = [c.name for c in lookup.columns]
    side = side_df.select(
        *[F.col(key).alias(f"_k_{key}") for key in lookup.keys],
        F.col(DS).alias("_side_ds"),
        F.col("event_time").alias("_event_time"),
        F.col("known_at").alias("_known_at"),
        content_hash(names).alias("_hash"),
        F.struct(*names).alias("_value"),
    )
    on = [F.col(key) == F.col(f"_k_{key}") for key in lookup.keys]
    on.append(F.col("_known_at") < cutoff_column(definition))
    rows = rows_df
    newest = ["_event_time", "_known_at", "_hash"]
    if lookup.at is not None:
        rows, side, near = _near_in_time(rows_df, side, lookup)
        first, last = read_days(lookup, definition)
        on += [*near, F.col("_side_ds") >= first, F.col("_side_ds") <= last]
    else:
        newest.insert(0, "_side_ds")
        if snapshots:
            first, last = snapshot_bounds(lookup, definition, snapshots)
            on += [F.col("_side_ds") >= first, F.col("_side_ds") <= last]
    identity = [DS, *definition.keys]
    return (
        rows.join(side, on, "inner")
        .groupBy(*identity)
        .agg(F.max_by("_value", F.struct(*newest)).alias(lookup.name))
    )


def read_days(lookup: Lookup, definition: Definition) -> tuple[Column, Column]:
    """Return the first and last day of a side table that a row reads: none if they cross."""
    first, last = event_days(lookup)
    spread = lookup.spread_days
    return (
        F.date_sub(first, spread),
        F.least(F.date_add(last, spread), _last_readable(lookup, definition)),
    )


def event_days(lookup: Lookup) -> tuple[Column, Column]:
    """Return the first and last UTC day on which what a row looks for can have happened."""
    at = F.col(str(lookup.at))
    oldest = at - F.expr(f"INTERVAL {lookup.max_age_hours} HOURS") + F.expr(_MOMENT)
    return F.to_date(oldest), F.to_date(at)


def last_due(lookup: Lookup, definition: Definition) -> Column:
    """Return the last day of a side table that is to be there for a row's `ds`."""
    return _begun_before(definition, lookup.due_hours)


def snapshot_bounds(
    lookup: Lookup, definition: Definition, snapshots: Sequence[date]
) -> tuple[Column, Column]:
    """Return the first and last of the snapshots that a row of `ds` reads.

    The first is the latest that must have been known whole before the cut-off: a day after it
    began, or a day after it was due.
    """
    whole = _begun_before(definition, 24 + max(lookup.due_hours, 0), or_at=True)
    days = F.array(*[F.lit(day) for day in sorted(snapshots)])
    newest_whole = F.array_max(F.filter(days, lambda day: day <= whole))
    return F.coalesce(newest_whole, F.lit(min(snapshots))), _last_readable(lookup, definition)


def _last_readable(lookup: Lookup, definition: Definition) -> Column:
    return _begun_before(definition, min(lookup.due_hours, -AHEAD_HOURS))


def _begun_before(definition: Definition, hours: int, *, or_at: bool = False) -> Column:
    """Return the last day that begins, `hours` added, before the cut-off of `ds` (or at it)."""
    moment = cutoff_column(definition) - F.expr(f"INTERVAL {hours} HOURS")
    return F.to_date(moment if or_at else moment - F.expr(_MOMENT))


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
