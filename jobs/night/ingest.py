"""Step `ingest`: source rows into `events`, `quarantine` and the lookups' tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.errors import NightscoreError, SourceCorrupt, SourceDayMissing, TooManyBadRows
from feature_store.events.quarantine import (
    SUPERSEDED,
    UNREADABLE_FILE,
    RawRows,
    bad_rows,
    check_ceiling,
    event_columns,
    good_rows,
    judge_rows,
    judge_typed,
    lookup_columns,
    single_rows,
    typed_lookup,
    typed_rows,
)
from feature_store.events.versions import carried_over, every_version
from feature_store.raw import UNREADABLE, prefetch, read_events, read_rows
from feature_store.schema import DS, EVENTS, QUARANTINE, lookup_table, stream_table
from feature_store.tables.inputs import Inputs
from feature_store.tables.warehouse import days_predicate
from jobs.night.deliveries import Feed, Ingested, Written, bring_up
from jobs.night.expected import (
    events_inputs,
    lacks_quarantine,
    lookup_inputs,
    needed_by_windows,
    with_earlier_versions,
)
from jobs.night.outdated import write_outdated
from jobs.night.refused import has_earlier
from jobs.night.side_days import due_hint, merged, side_days
from jobs.version import revision

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Lookup, Stream
    from jobs.context import Context


def ingest_events(
    context: Context,
    stream: Stream,
    days: Sequence[date],
    *,
    again: Collection[date] = (),
    as_history: Collection[date] = (),
) -> Ingested:
    """Bring events and quarantine of a stream's `days` up to date, each as far as it can be.

    A bad delivery is written down, and not read again until it changes; those of the days in
    `again` are read all the same. Days in `as_history` a night reads in its windows only: what an
    older rule made of them is good enough; see `needed_by_windows`.

    The quarantine is written, and its ceiling checked, before the events: a day with too many bad
    rows leaves the earlier events of that day untouched, and the reasons to be read. One that is
    gone is made again, of the same reading, but for days in `as_history`.
    """
    prefetch(stream.source, days)

    def needed(inputs: Mapping[date, Inputs], outdated: Sequence[date]) -> list[date]:
        windows = [day for day in outdated if day in as_history]
        read = set(needed_by_windows(context, stream, inputs, windows)) if windows else set()
        return [day for day in outdated if day not in as_history or day in read]

    feed = Feed(
        needed=needed,
        table=stream_table(stream.name, EVENTS),
        digest=stream.digest,
        inputs=lambda day: events_inputs(context, stream, day),
        unread=Inputs(definition="unread", code=revision(EVENTS)),
        read=lambda some: judge_rows(_read(context, stream, some), stream),
        write=lambda inputs: _write_events(context, stream, inputs),
    )
    found = bring_up(context, feed, days, again)
    _mend_quarantine(context, stream, [day for day in days if day not in as_history])
    return found


def ingest_lookups(
    context: Context, days: Sequence[date], *, again: Collection[date] = ()
) -> list[Ingested]:
    """Bring what `days` may read of each lookup up to date with its source, as for events."""
    return [_ingest_lookup(context, lookup, days, again) for lookup in context.definition.lookups]


def _ingest_lookup(
    context: Context, lookup: Lookup, days: Sequence[date], again: Collection[date]
) -> Ingested:
    table, wanted = lookup_table(lookup.name), merged(side_days(context, lookup, days))
    needed = sorted(wanted.read | wanted.due)
    prefetch(lookup.source, needed)

    def read(some: Sequence[date]) -> DataFrame:
        columns = lookup_columns(lookup, context.definition.row)
        raw = read_rows(lookup.source, context.spark, some, columns)
        return typed_lookup(raw, lookup, context.definition.row)

    def write(inputs: Mapping[date, Inputs]) -> Written:
        emptied = _emptied(context, lookup, inputs, read)
        kept = {day: now for day, now in inputs.items() if day not in emptied}
        if kept:
            write_outdated(context, table, kept, read, force=True)
        return sorted(kept), emptied

    feed = Feed(
        needed=lambda _, outdated: list(outdated),
        table=table,
        digest="",
        inputs=lambda day: lookup_inputs(context, lookup, day),
        unread=Inputs(definition="unread", code=revision(EVENTS)),
        read=read,
        write=write,
    )
    found = bring_up(context, feed, needed, again)
    # A day that need not be there yet stops nobody: it is read once it has come.
    errors = {
        day: _of_lookup(context, lookup, error)
        for day, error in found.errors.items()
        if day in wanted.due or not isinstance(error, SourceDayMissing)
    }
    return dataclasses.replace(found, errors=errors)


def _emptied(
    context: Context,
    lookup: Lookup,
    days: Collection[date],
    read: Callable[[Sequence[date]], DataFrame],
) -> dict[date, NightscoreError]:
    """Return the days of a lookup that had rows and are delivered again without any.

    A day may be empty from the first. One that becomes so would turn values into nulls unnoticed.
    """
    table = lookup_table(lookup.name)
    rows = {
        day: context.warehouse.commits(table)[table, day, ""].rows
        for day in sorted(days)
        if has_earlier(context, table, day)
    }
    had = {day: count for day, count in rows.items() if count}
    if not had:
        return {}
    have = {row[DS] for row in read(list(had)).select(DS).distinct().collect()}
    return {
        day: SourceCorrupt(
            f"{context.definition.name}, lookup {lookup.name}: ds={day}: the day is empty, and an "
            f"earlier delivery of it had {count:,} rows. Have it delivered again", day,
        )
        for day, count in had.items()
        if day not in have
    }  # fmt: skip


def _of_lookup(context: Context, lookup: Lookup, error: NightscoreError) -> NightscoreError:
    """Return the error with what else may be done where a day of a lookup is not there."""
    if not isinstance(error, SourceDayMissing):
        return error
    what = f"{context.definition.name}, lookup {lookup.name}"
    steps = ". ".join(filter(None, (error.next_step.rstrip("."), due_hint(lookup))))
    return SourceDayMissing(what, error.ds, error.why, steps)


def _write_events(context: Context, stream: Stream, inputs: Mapping[date, Inputs]) -> Written:
    days, quarantine = sorted(inputs), stream_table(stream.name, QUARANTINE)
    inputs = with_earlier_versions(context, stream, inputs)
    typed = typed_rows(_read(context, stream, days), stream).persist()
    try:
        judged = judge_typed(typed, stream)
        bad = bad_rows(judged, stream)
        write_outdated(context, quarantine, inputs, lambda some: bad.where(days_predicate(some)))
        counts = _good_rows_by_day(judged)
        refused = _refusals(context, stream, days, {day: rows for day, (rows, _) in counts.items()})
        usable = [day for day in days if day not in refused]
        if usable:
            kept = {day: inputs[day] for day in usable}
            have_versions = any(several for _, several in counts.values())
            delivered = judged.where(days_predicate(usable))
            rows = _events(context, stream, delivered, kept, have_versions)
            events = stream_table(stream.name, EVENTS)
            write_outdated(context, events, kept, lambda _: rows, force=True)
    finally:
        typed.unpersist()
    return usable, refused


def _mend_quarantine(context: Context, stream: Stream, days: Sequence[date]) -> None:
    """Write the quarantine of days again whose events are good and which lack it."""
    events = stream_table(stream.name, EVENTS)
    inputs = {
        day: context.warehouse.commits(events)[events, day, ""].inputs
        for day in days
        if lacks_quarantine(context, stream, day)
    }

    def read(some: Sequence[date]) -> DataFrame:
        return bad_rows(judge_rows(_read(context, stream, some), stream), stream)

    if inputs:
        write_outdated(context, stream_table(stream.name, QUARANTINE), inputs, read)


def _events(
    context: Context,
    stream: Stream,
    judged_df: DataFrame,
    inputs: Mapping[date, Inputs],
    have_versions: bool,
) -> DataFrame:
    """Return the events of a delivery, with what only earlier ones told of its rows."""
    carried = None
    told_before = sorted(day for day, now in inputs.items() if now.pins)
    if told_before:
        before = context.warehouse.read(stream_table(stream.name, EVENTS), told_before)
        delivered = judged_df.where("_reason IS NULL")
        carried = carried_over(every_version(before, stream), delivered, stream)
        carried = None if carried.isEmpty() else carried
    if carried is None and not have_versions:
        # Most deliveries tell of each row once, and nothing that another did not.
        return single_rows(judged_df, stream)
    return good_rows(judged_df, stream, carried)


def _good_rows_by_day(judged_df: DataFrame) -> dict[date, tuple[int, bool]]:
    """Return of each day how many things its good rows tell of, and if of one more than once."""
    is_good = F.col("_reason").isNull()
    counted = judged_df.groupBy(DS).agg(
        F.count_if(is_good & (F.col("_rank") == 1)), F.max(is_good & (F.col("_versions") > 1))
    )
    return {row[0]: (row[1], row[2]) for row in counted.collect()}


def _refusals(
    context: Context, stream: Stream, days: Sequence[date], good: Mapping[date, int]
) -> dict[date, NightscoreError]:
    """Return why a day's rows may not become events, for the days that have too few or bad ones."""
    refused: dict[date, NightscoreError] = {}
    for day in (d for d in days if d not in stream.absent_days):
        commit = context.warehouse.commit(stream_table(stream.name, QUARANTINE), day)
        bad = commit.rows if commit else 0
        if bad or not good.get(day):
            try:
                _raise_for_day(context, stream, day, bad, good.get(day, 0))
            except (SourceDayMissing, SourceCorrupt, TooManyBadRows) as error:
                refused[day] = error
    return refused


def _raise_for_day(context: Context, stream: Stream, day: date, bad: int, good: int) -> None:
    if not good and not bad:
        raise SourceDayMissing(
            stream.name, day, "the day is empty", "Wait for the source, then run again"
        )
    quarantined = context.warehouse.read(stream_table(stream.name, QUARANTINE), [day])
    counted = quarantined.groupBy("reason").agg(F.count("*"))
    reasons = {row[0]: row[1] for row in counted.collect()}
    if UNREADABLE_FILE in reasons:
        why = _unreadable(quarantined)
        raise SourceCorrupt(f"{stream.name}: ds={day}: {why}", day)
    bad -= reasons.pop(SUPERSEDED, 0)
    check_ceiling(stream.name, day, bad, bad + good, stream.max_bad_share, reasons)


def _unreadable(quarantined: DataFrame) -> str:
    """Return why a file of a day could not be read to its end."""
    rows = quarantined.where(F.col("reason") == UNREADABLE_FILE)
    (row,) = rows.select(F.min("row")).collect()
    return str(json.loads(row[0])[UNREADABLE])


def _read(context: Context, stream: Stream, days: Sequence[date]) -> RawRows:
    """Return the raw rows of `days`; the source is not asked for those it has nothing for."""
    present = [day for day in days if day not in stream.absent_days]
    if present:
        return read_events(stream.source, context.spark, present, event_columns(stream))
    fields = (f"`{column.name}` {column.dtype}" for column in stream.columns)
    return context.spark.createDataFrame([], f"{DS} date, {', '.join(fields)}")
