"""Step `ingest`: source rows into `events` and `quarantine` of their stream."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
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
    no_rows,
    single_rows,
    typed_rows,
)
from feature_store.events.versions import carried_over, every_version
from feature_store.raw import UNREADABLE, prefetch, read_rows
from feature_store.schema import DS, EVENTS, QUARANTINE, stream_table
from feature_store.tables.inputs import Inputs
from feature_store.tables.warehouse import days_predicate
from jobs.night.deliveries import Feed, Ingested, Written, bring_up
from jobs.night.expected import (
    events_inputs,
    lacks_quarantine,
    needed_by_windows,
    with_earlier_versions,
)
from jobs.night.outdated import write_outdated
from jobs.night.refused import has_earlier
from jobs.night.released import released_rows
from jobs.night.side_days import due_hint, looked_up_days
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
        read=lambda some: _judged(context, stream, some),
        write=lambda inputs: _write_events(context, stream, inputs),
    )
    found = bring_up(context, feed, days, again)
    _mend_quarantine(context, stream, [day for day in days if day not in as_history])
    return found


def ingest_looked_up(
    context: Context, stream: Stream, days: Sequence[date], *, again: Collection[date] = ()
) -> Ingested:
    """Bring what `days` look up in a stream up to date with its source, as far as it is there.

    A day that need not be there yet stops nobody: it is read once it has come.
    """
    lookups = context.definition.lookups_in(stream)
    wanted = looked_up_days(context, stream, days)
    found = ingest_events(context, stream, sorted(wanted.read | wanted.due), again=again)
    errors = {
        day: _of_lookups(stream, lookups, error)
        for day, error in found.errors.items()
        if day in wanted.due or not isinstance(error, SourceDayMissing)
    }
    return dataclasses.replace(found, errors=errors)


def _of_lookups(
    stream: Stream, lookups: Sequence[Lookup], error: NightscoreError
) -> NightscoreError:
    """Return the error with what else may be done where a day that is looked up is not there."""
    if not isinstance(error, SourceDayMissing):
        return error
    steps = ". ".join(filter(None, (error.next_step.rstrip("."), due_hint(lookups))))
    return SourceDayMissing(stream.name, error.ds, error.why, steps)


def _write_events(context: Context, stream: Stream, inputs: Mapping[date, Inputs]) -> Written:
    days, quarantine = sorted(inputs), stream_table(stream.name, QUARANTINE)
    inputs = with_earlier_versions(context, stream, inputs)
    released = released_rows(context, stream, days)
    typed = typed_rows(_read(context, stream, days), stream, released).persist()
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
        return bad_rows(_judged(context, stream, some), stream)

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
        bad, rows = commit.rows if commit else 0, good.get(day, 0)
        if bad or not rows:
            try:
                if not bad:
                    _require_rows(context, stream, day)
                else:
                    _raise_for_day(context, stream, day, bad, rows)
            except (SourceDayMissing, SourceCorrupt, TooManyBadRows) as error:
                refused[day] = error
    return refused


def _require_rows(context: Context, stream: Stream, day: date) -> None:
    """Raise unless a day may have no row, as one of changes may.

    Not even of changes, where it had some: one that becomes empty would turn values into nulls
    unnoticed.
    """
    if stream.kind != "changes":
        raise SourceDayMissing(
            stream.name, day, "the day is empty", "Wait for the source, then run again"
        )
    events = stream_table(stream.name, EVENTS)
    commits = context.warehouse.commits(events)
    rows = commits[events, day, ""].rows if has_earlier(context, events, day) else 0
    if rows:
        raise SourceCorrupt(
            f"{stream.name}: ds={day}: the day is empty, and an earlier delivery of it had "
            f"{rows:,} rows. Have it delivered again",
            day,
        )


def _raise_for_day(context: Context, stream: Stream, day: date, bad: int, good: int) -> None:
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


def _judged(context: Context, stream: Stream, days: Sequence[date]) -> DataFrame:
    released = released_rows(context, stream, days)
    return judge_rows(_read(context, stream, days), stream, released)


def _read(context: Context, stream: Stream, days: Sequence[date]) -> RawRows:
    """Return the raw rows of `days`; the source is not asked for those it has nothing for."""
    present = [day for day in days if day not in stream.absent_days]
    if present:
        return read_rows(
            stream.source, context.spark, present, event_columns(stream),
            may_repeat=stream.kind != "log",
        )  # fmt: skip
    return no_rows(context.spark, stream)
