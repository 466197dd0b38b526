"""Versions of a row: what was known of it at any time, whatever was delivered since.

A source corrects itself by telling a group of values again, known later. An event holds what is
known of it now and, in `_earlier`, what was known of it before each correction: an array of
(`_until`, the columns but the keys), oldest first. Its values were known before `_until`, which is
when the next ones became known. Most rows were never corrected, and have null there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StructType

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.window import WindowSpec

    from feature_store.definition import Stream

EARLIER = "_earlier"
UNTIL = "_until"
SINCE = "_since"


def merged(versions_df: DataFrame, stream: Stream) -> DataFrame:
    """Return one row per ds and keys: ds, the columns and `_earlier`, from all that was told of it.

    What is known at a time is, for each group of values by itself, the version known latest of
    those known before. Of versions known at the same time it is the one beside which more was known
    then, or the greater by content: nothing that became known later decides it.
    """
    groups = by_time(stream)
    identity = [DS, *stream.keys]
    # A null moment is after all others: what is known now.
    moments = versions_df.select(
        *identity, F.explode(F.array(*[F.col(at) for at in groups], F.lit(None))).alias(UNTIL)
    ).distinct()
    states = (
        versions_df.join(moments, identity)
        .groupBy(*identity, UNTIL)
        .agg(*[_latest(at, names, groups).alias(f"_{at}") for at, names in groups.items()])
    )
    return states.transform(_corrected, stream, groups)


def standing(versions: WindowSpec, stream: Stream) -> tuple[Column, Column]:
    """Return whether all that a version tells holds now, and whether it contradicts what does.

    It contradicts a version that tells something else of the same time, and was itself known at the
    same time: nobody can say which of the two is right. Any other is older, or came too late.
    """
    groups = by_time(stream)
    known = _known(groups)
    holds, contradicts = [], []
    for at, names in groups.items():
        told = F.struct(*names)
        newest = F.max(F.struct(_place(at, groups).alias("place"), told.alias("told")))
        then = newest.over(versions)
        is_same = then["told"].eqNullSafe(told)
        holds.append(F.col(at).isNull() | is_same)
        is_as_new = (then["place"]["at"] == F.col(at)) & (then["place"]["known"] == known)
        contradicts.append(F.coalesce(is_as_new & ~is_same, F.lit(False)))
    return (
        reduce(lambda left, right: left & right, holds),
        reduce(lambda left, right: left | right, contradicts),
    )


def carried_over(stored_df: DataFrame, delivered_df: DataFrame, stream: Stream) -> DataFrame:
    """Return what was told before of rows delivered again: ds and the columns of versions.

    A delivery replaces what it tells. What was known earlier than the first version that it tells
    of a group stays: a file that holds only the corrected row does not say what was known before.
    A row that is not delivered any more is gone.

    Args:
        stored_df: ds and the columns of earlier versions, typed, as `every_version` gives them.
        delivered_df: the good rows of the delivery.
        stream: the stream.
    """
    groups = by_time(stream)
    identity = [DS, *stream.keys]
    first = delivered_df.groupBy(*identity).agg(*[F.min(at).alias(f"_{at}") for at in groups])
    joined = stored_df.join(first, identity)
    is_kept = {
        at: F.col(at).isNotNull() & (F.col(f"_{at}").isNull() | (F.col(at) < F.col(f"_{at}")))
        for at in groups
    }
    kept = {
        name: F.when(is_kept[at], F.col(name)) for at, names in groups.items() for name in names
    }
    kept |= {key: F.col(key) for key in stream.keys}
    columns = [kept[c.name].alias(c.name) for c in stream.columns]
    is_any_kept = reduce(lambda left, right: left | right, is_kept.values())
    return joined.where(is_any_kept).select(DS, *columns).distinct()


def every_version(events_df: DataFrame, stream: Stream) -> DataFrame:
    """Return what events hold, a row for each time of a row: ds, columns, `_since` and `_until`.

    A version counts from `_since` (null: from the first) until `_until` (null: it is the last). A
    column that the events lack is null.
    """
    now = events_df.select(DS, *_columns(events_df, stream), *_life(events_df))
    before = earlier_versions(events_df, stream)
    return now if before is None else now.unionByName(before)


def latest_version(events_df: DataFrame, stream: Stream) -> DataFrame:
    """Return the last version of each row, with the columns of `every_version`."""
    return events_df.select(DS, *_columns(events_df, stream), *_life(events_df))


def earlier_versions(events_df: DataFrame, stream: Stream) -> DataFrame | None:
    """Return the versions but the last, as `every_version` does; None if events hold none."""
    if EARLIER not in events_df.columns:
        return None
    exploded = events_df.where(F.col(EARLIER).isNotNull()).select(
        DS, *stream.keys, F.posexplode(EARLIER).alias("_place", "_version"), EARLIER
    )
    # Places begin at 0, and `get` gives null for the one before the first.
    since = F.get(EARLIER, F.col("_place") - 1)[UNTIL].alias(SINCE)
    rows = exploded.select(DS, *stream.keys, "_version.*", since)
    return rows.select(DS, *_columns(rows, stream), SINCE, UNTIL)


def as_of(events_df: DataFrame, time: Column) -> DataFrame:
    """Return the events as they were known just before `time`, without `_earlier`.

    A value that became known later than `time` and was never corrected is still there, as is a row:
    compare its own known-at time. A null `time` is after all others.
    """
    if EARLIER not in events_df.columns:
        return events_df
    then = F.get(F.filter(EARLIER, lambda version: version[UNTIL] >= time), F.lit(0))
    names = [n for n in _fields(events_df) if n in events_df.columns]
    is_corrected = F.col("_then").isNotNull()
    values = {n: F.when(is_corrected, F.col("_then")[n]).otherwise(F.col(n)) for n in names}
    return events_df.withColumn("_then", then).withColumns(values).drop("_then", EARLIER)


def by_time(stream: Stream) -> dict[str, list[str]]:
    """Return the columns that become known at each known-at column, itself among them."""
    keys = set(stream.keys)
    times = {group.at for group in stream.knowns}
    told: dict[str, list[str]] = {at: [at] for at in sorted(times)}
    for column in stream.columns:
        if column.name not in times | keys:
            told[stream.known(column.known).at].append(column.name)
    return told


def never_corrected(stream: Stream) -> Column:
    """Return `_earlier` of a row of which nothing was told twice."""
    return F.lit(None).cast(_earlier_type(stream))


def _latest(at: str, names: Sequence[str], groups: dict[str, list[str]]) -> Column:
    """Return what a group says of a row just before the moment `_until`; null if nothing yet."""
    is_known = F.col(UNTIL).isNull() | (F.col(at) < F.col(UNTIL))
    return F.max_by(F.struct(*names), F.when(is_known, _place(at, groups, UNTIL)))


def _place(at: str, groups: dict[str, list[str]], moment: str = "") -> Column:
    """Return the order of a version among others of a group, by what was known at a moment."""

    def seen(name: str, time: str) -> Column:
        is_seen = F.col(moment).isNull() | (F.col(time) < F.col(moment)) if moment else F.lit(True)
        return F.when(is_seen, F.col(name))

    # Nulls are passed over; `greatest` wants two at least.
    known = F.greatest(*[seen(time, time) for time in groups], seen(at, at))
    told = [seen(name, time) for time, names in groups.items() for name in names]
    # xxhash64 passes over a null: without the flags (null, 1) and (1, null) would be the same.
    parts = [part for value in told for part in (value, value.isNull())]
    hashes = [F.xxhash64(F.lit(salt), *parts).alias(f"h{salt}") for salt in (1, 2)]
    return F.struct(F.col(at).alias("at"), known.alias("known"), *hashes)


def _known(groups: dict[str, list[str]]) -> Column:
    """Return when the last of all that a version tells became known."""
    times = [F.col(at) for at in groups]
    return F.greatest(*times) if len(times) > 1 else times[0]


def _corrected(states_df: DataFrame, stream: Stream, groups: dict[str, list[str]]) -> DataFrame:
    """Return the last of each row's states, with those before in which something else was known."""
    identity = [DS, *stream.keys]
    in_time = Window.partitionBy(*identity).orderBy(F.col(UNTIL).asc_nulls_last())
    changes = [
        F.col(f"_{at}").isNotNull() & ~F.col(f"_{at}").eqNullSafe(F.lead(f"_{at}").over(in_time))
        for at in groups
    ]
    is_last = F.col(UNTIL).isNull()
    keys = set(stream.keys)
    place = {name: f"_{at}" for at, names in groups.items() for name in names}
    columns = [c.name for c in stream.columns if c.name not in keys]
    values = [F.col(place[name])[name].alias(name) for name in columns]
    is_kept = is_last | reduce(lambda left, right: left | right, changes)
    earlier = F.array_sort(F.collect_list(F.when(~is_last, F.struct(UNTIL, *values))))
    return (
        states_df.withColumn("_is_kept", is_kept)
        .where("_is_kept")
        .groupBy(*identity)
        .agg(
            F.first(F.when(is_last, F.struct(*values)), ignorenulls=True).alias("_now"),
            F.when(F.count(UNTIL) > 0, earlier).alias(EARLIER),
        )
        .select(
            DS,
            *[F.col(c.name if c.name in keys else f"_now.{c.name}") for c in stream.columns],
            F.col(EARLIER).cast(_earlier_type(stream)).alias(EARLIER),
        )
    )


def _earlier_type(stream: Stream) -> str:
    keys = set(stream.keys)
    fields = [f"`{c.name}`: {c.dtype}" for c in stream.columns if c.name not in keys]
    return f"array<struct<{UNTIL}: timestamp, {', '.join(fields)}>>"


def _columns(rows_df: DataFrame, stream: Stream) -> list[Column]:
    """Return the declared columns; what rows of another time lack is null."""
    return [
        (F.col(c.name).try_cast(c.dtype) if c.name in rows_df.columns else _null(c.dtype)).alias(
            c.name
        )
        for c in stream.columns
    ]


def _life(events_df: DataFrame) -> tuple[Column, Column]:
    """Return since when the last version counts, and until when: it has no end."""
    since = _null("timestamp")
    if EARLIER in events_df.columns:
        since = F.element_at(EARLIER, -1)[UNTIL]
    return since.alias(SINCE), _null("timestamp").alias(UNTIL)


def _null(dtype: str) -> Column:
    return F.lit(None).cast(dtype)


def _fields(events_df: DataFrame) -> list[str]:
    """Return the names of the columns that `_earlier` holds."""
    versions = events_df.schema[EARLIER].dataType
    assert isinstance(versions, ArrayType)  # noqa: S101 - as it was written
    assert isinstance(versions.elementType, StructType)  # noqa: S101 - as it was written
    return [name for name in versions.elementType.names if name != UNTIL]
