"""As-of joins: the latest row of a stream that was known before the cut-off."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.content import content_hash
from feature_store.events.cutoff import cutoff_column
from feature_store.events.versions import SINCE, UNTIL
from feature_store.features.side_rows import EVENT_TIME, KNOWN_AT, VALID_UNTIL, side_rows
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Lookup


AHEAD_HOURS = 24
"""A day of a stream is looked up in as soon as it may be known: a day before it begins, or when
due."""
_MOMENT = "INTERVAL 1 MICROSECOND"


def join_lookups(
    rows_df: DataFrame,
    events: Mapping[str, DataFrame],
    definition: Definition,
    lookups: Sequence[Lookup],
    snapshots: Mapping[str, Sequence[date]] | None = None,
) -> DataFrame:
    """Return `rows_df` with a struct column for each lookup; its fields are null if nothing fits.

    Args:
        rows_df: rows known before their cut-off.
        events: by lookup, events of at least the days of its stream that the rows may read, as far
            as there are any.
        definition: the pipeline.
        lookups: those of it that are wanted here, those before others that are asked by them.
        snapshots: by lookup, the days of a snapshot's events that has more than one.
    """
    joined = rows_df
    for lookup in lookups:
        side = side_rows(events[lookup.name], lookup)
        dated = (snapshots or {}).get(lookup.name, ())
        joined = joined.transform(_join_newest, side, lookup, definition, dated)
    return joined


def _join_newest(
    rows_df: DataFrame,
    side_df: DataFrame,
    lookup: Lookup,
    definition: Definition,
    snapshots: Sequence[date],
) -> DataFrame:
    """Return the rows with what fits each of them, named after the lookup; null if nothing does.

    It is the side row of the same keys with the greatest (event time, known-at time, hash of its
    columns) among those that were known, and not yet corrected, before the cut-off of the row's
    `ds`, with an event time in (at - max_age, at], valid beyond `at`, and on one of the days that
    `read_days` gives. So what else `side_df` holds makes no difference. Of snapshots the greatest
    day comes first, and the event time does not count.

    All that a row may take is one list, the newest first: so each row meets one at most, and need
    not be found again among the pairs of a join.
    """
    bounds = _bounds(lookup, definition, snapshots)
    lists = _newest_first(side_df, lookup)
    asked = zip(lookup.asked_by, lookup.found_by, strict=True)
    # Of a struct in a row, or a column of it: either way what is called so.
    on = [F.col(name) == F.col(f"_k_{key}") for name, key in asked]
    if not lookup.is_snapshot:
        on.append(_bucket(looked_up_at(lookup, definition), lookup) == F.col("_bucket"))
    # Before the join, and so once for each row and not for each of its list.
    joined = rows_df.withColumns(bounds).join(lists, on, "left")
    newest = F.get(F.filter("_side", lambda side: _fits(side, lookup, bounds)), F.lit(0))
    return joined.withColumn(lookup.name, newest["_value"]).drop(*bounds, *lists.columns)


def _bounds(lookup: Lookup, definition: Definition, snapshots: Sequence[date]) -> dict[str, Column]:
    """Return what a row asks of the side rows of its keys, as hidden columns of it."""
    at = looked_up_at(lookup, definition)
    bounds = {"_cutoff": cutoff_column(definition.cutoff_hours), "_at": at}
    if not lookup.is_snapshot:
        bounds["_first"], bounds["_last"] = read_days(lookup, definition)
        bounds["_oldest"] = at - F.expr(f"INTERVAL {lookup.max_age_hours} HOURS")
    elif snapshots:
        bounds["_first"], bounds["_last"] = snapshot_bounds(lookup, definition, snapshots)
    return bounds


def _fits(side: Column, lookup: Lookup, bounds: Collection[str]) -> Column:
    """Return whether a side row is one that the row beside it may take."""
    cutoff = F.col("_cutoff")
    fits = (side[KNOWN_AT] < cutoff) & (side[SINCE].isNull() | (side[SINCE] < cutoff))
    fits &= side[UNTIL].isNull() | (side[UNTIL] >= cutoff)
    if lookup.valid_until is not None:
        fits &= side[VALID_UNTIL].isNull() | (side[VALID_UNTIL] > F.col("_at"))
    if "_first" in bounds:
        fits &= (side[DS] >= F.col("_first")) & (side[DS] <= F.col("_last"))
    if not lookup.is_snapshot:
        fits &= (side[EVENT_TIME] <= F.col("_at")) & (side[EVENT_TIME] > F.col("_oldest"))
    return fits


def _newest_first(side_df: DataFrame, lookup: Lookup) -> DataFrame:
    """Return the side rows of each keys as a list `_side`, in the order in which they are taken.

    With times, for each stretch `_bucket` of `max_age` by itself, so that a list is short and the
    join stays one on equality. A row's match lies in its own stretch or the one before: each side
    row is put in both.
    """
    times = F.col(EVENT_TIME), F.col(KNOWN_AT), content_hash(lookup.columns).alias("_hash")
    order = (*times, F.col(DS)) if not lookup.is_snapshot else (F.col(DS), *times)
    by = [f"_k_{key}" for key in lookup.found_by]
    value = F.struct(*[F.col(name) for name in lookup.columns]).alias("_value")
    ends = [] if lookup.valid_until is None else [VALID_UNTIL]
    side = side_df.select(
        *[F.col(key).alias(name) for key, name in zip(lookup.found_by, by, strict=True)],
        F.struct(*order, SINCE, UNTIL, *ends, value).alias("_side"),
    )
    if not lookup.is_snapshot:
        bucket = _bucket(F.col(f"_side.{EVENT_TIME}"), lookup)
        side = side.withColumn("_bucket", F.explode(F.array(bucket, bucket + 1)))
        by.append("_bucket")
    return side.groupBy(*by).agg(F.sort_array(F.collect_list("_side"), asc=False).alias("_side"))


def read_days(lookup: Lookup, definition: Definition) -> tuple[Column, Column]:
    """Return the first and last day of a stream that a row looks up: none if they cross."""
    first, last = _event_days(lookup, definition)
    # An event lies so many days after the day that tells of it.
    soonest, latest = lookup.stream.event_days
    return (
        F.date_sub(first, latest),
        F.least(F.date_sub(last, soonest), _last_readable(lookup, definition)),
    )


def looked_up_at(lookup: Lookup, definition: Definition) -> Column:
    """Return the time as of which a row looks up: a column of it, or just before its cut-off."""
    if lookup.at is not None:
        return F.col(lookup.at)
    return cutoff_column(definition.cutoff_hours) - F.expr(_MOMENT)


def _event_days(lookup: Lookup, definition: Definition) -> tuple[Column, Column]:
    """Return the first and last UTC day on which what a row looks for can have happened."""
    at = looked_up_at(lookup, definition)
    oldest = at - F.expr(f"INTERVAL {lookup.max_age_hours} HOURS") + F.expr(_MOMENT)
    return F.to_date(oldest), F.to_date(at)


def last_due(lookup: Lookup, definition: Definition) -> Column:
    """Return the last day of a stream that is to be there for a row's `ds`."""
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
    moment = cutoff_column(definition.cutoff_hours) - F.expr(f"INTERVAL {hours} HOURS")
    return F.to_date(moment if or_at else moment - F.expr(_MOMENT))


def _bucket(time: Column, lookup: Lookup) -> Column:
    assert lookup.max_age_hours is not None  # noqa: S101 - checked at load
    return (F.unix_timestamp(time) / (lookup.max_age_hours * 3600)).cast("bigint")
