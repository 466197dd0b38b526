"""Which days of a stream the rows of a day look up, and which of those have to be there.

It follows from the times of the rows, the lookup and the cut-off, for each day by itself: so a day
is made of the same, whether it is made alone or among many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, cast

from pyspark.sql import functions as F

from feature_store.definition import Snapshots
from feature_store.features.asof import (
    AHEAD_HOURS,
    last_due,
    looked_up_at,
    read_days,
)
from feature_store.features.features import known_in_time
from feature_store.schema import DS, EVENTS, FEATURES, stream_table
from jobs.night.reading import KNOWN, content_of
from jobs.version import revision

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Lookup, Stream
    from feature_store.tables.inputs import Inputs
    from jobs.context import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class SideDays:
    """The days of a stream that matter to what the rows of one day look up."""

    read: frozenset[date] = frozenset()
    """Those that are read, as far as they are there."""
    due: frozenset[date] = frozenset()
    """Those without which the day cannot be made."""


NONE = SideDays()
ABSENT = -1
"""The pinned version of a day that is looked up, was not there, and need not be."""


def side_days(context: Context, lookup: Lookup, days: Iterable[date]) -> dict[date, SideDays]:
    """Return which days of its stream a lookup reads for each of `days`; none without events.

    The features that were made of the same events say it; of all other days it takes one look at
    the times in their events.
    """
    if lookup.is_snapshot:
        return {day: _of_snapshot(context, lookup, day) for day in days}
    if context.definition.stream is None:
        return _of_cutoffs(context, lookup, list(days))
    events = context.events
    content = content_of(context.definition, events)
    days = list(days)
    context.warehouse.know(events, days, content, part=KNOWN)
    commits = context.warehouse.commits(events)
    found: dict[date, SideDays] = {}
    unknown: dict[date, tuple[object, ...]] = {}
    for day in days:
        commit = commits.get((events, day, ""))
        if commit is None or commit.rows == 0:
            found[day] = NONE
            continue
        key = ("side days", lookup.name, day, commit.version, commit.committed_at)
        if key in context.answers:
            found[day] = cast("SideDays", context.answers[key])
        elif (told := _pinned(context, lookup, day)) is not None:
            found[day] = told
        else:
            unknown[day] = key
    for day, answer in _of_events(context, lookup, sorted(unknown)).items():
        context.answers[unknown[day]] = found[day] = answer
    return found


def looked_up_days(context: Context, stream: Stream, days: Iterable[date]) -> SideDays:
    """Return which days of a stream all that `days` look up in it is read from."""
    days = list(days)
    lookups = context.definition.lookups_in(stream)
    return merged([merged(side_days(context, lookup, days).values()) for lookup in lookups])


def due_hint(lookups: Iterable[Lookup]) -> str:
    """Return which settings say that a day that is looked up may come later than it did."""
    told = [
        f"Or raise due_hours of the lookup {lookup.name}, if a day of it may come later: it is "
        f"{lookup.due_hours}, the hours after a day begins by which it is to be there"
        for lookup in lookups
        if not lookup.is_snapshot
    ]
    return ". ".join(told)


def snapshot_days(context: Context, stream: Stream) -> list[date]:
    """Return the days of the snapshots that a source has, or had and which were stored."""
    if not isinstance(stream.source, Snapshots):
        return [stream.first_day]
    stored = {day for _, day, _ in context.warehouse.commits(stream_table(stream.name, EVENTS))}
    return sorted({*stream.source.snapshot_days(), *stored})


def merged(found: Iterable[SideDays]) -> SideDays:
    """Return what is read together."""
    found = list(found)
    return SideDays(
        read=frozenset[date]().union(*(days.read for days in found)),
        due=frozenset[date]().union(*(days.due for days in found)),
    )


def _pinned(context: Context, lookup: Lookup, day: date) -> SideDays | None:
    """Return what the features of a day pinned, if they are made of its events as they are."""
    commit = context.warehouse.commit(FEATURES, day)
    if commit is None or commit.foreign or not made_alike(context, commit.inputs):
        return None
    content = content_of(context.definition, context.events)
    events = context.warehouse.pins(context.events, [day], content, part=KNOWN)
    if commit.inputs.pins[context.events] != events:
        return None
    pinned = commit.inputs.pins[stream_table(lookup.stream.name, EVENTS)]
    there = frozenset(pin.ds for pin in pinned if pin.version != ABSENT)
    return SideDays(read=frozenset(pin.ds for pin in pinned), due=there)


def made_alike(context: Context, inputs: Inputs) -> bool:
    """Whether features were made by the definition and the code of now."""
    is_same = inputs.definition == context.definition.digest("features")
    return is_same and inputs.code == revision(FEATURES)


def _of_events(context: Context, lookup: Lookup, days: Sequence[date]) -> dict[date, SideDays]:
    """Return what the events of days read, by the times that their rows have."""
    if not days:
        return {}
    definition = context.definition
    events = context.warehouse.read(context.events, days)
    return _of_rows(
        context, lookup, known_in_time(events, definition.row, definition.cutoff_hours), days
    )


def _of_cutoffs(context: Context, lookup: Lookup, days: Sequence[date]) -> dict[date, SideDays]:
    """Return what days read whose rows look up as of the cut-off, and so all the same."""
    answers, name = context.answers, lookup.name
    unknown = [day for day in days if ("side days", name, day) not in answers]
    if unknown:
        rows = context.spark.createDataFrame([(day,) for day in unknown], f"{DS} date")
        for day, answer in _of_rows(context, lookup, rows, unknown).items():
            answers["side days", name, day] = answer
    return {day: cast("SideDays", answers["side days", name, day]) for day in days}


def _of_rows(
    context: Context, lookup: Lookup, rows_df: DataFrame, days: Sequence[date]
) -> dict[date, SideDays]:
    """Return what rows of days read, by the times that they have."""
    definition, stream = context.definition, lookup.stream
    first, last = read_days(lookup, definition)
    ranges = (
        rows_df.where(looked_up_at(lookup, definition).isNotNull())
        .select(DS, first, last, F.least(last, last_due(lookup, definition)))
        .distinct()
        .collect()
    )
    read: dict[date, set[date]] = {day: set() for day in days}
    due: dict[date, set[date]] = {day: set() for day in days}
    for ds, first_read, last_read, last_of_due in ranges:
        read[ds] |= _between(first_read, last_read)
        # Before the pipeline begins a stream has what it has.
        due[ds] |= _between(max(first_read, definition.first_day), last_of_due)

    def there(found: set[date]) -> frozenset[date]:
        return frozenset(filter(stream.has, found))

    return {day: SideDays(read=there(read[day]), due=there(due[day])) for day in days}


def _of_snapshot(context: Context, lookup: Lookup, day: date) -> SideDays:
    """Return the latest snapshot that must have been known whole, and those after it.

    Without that one the day cannot be made: an older one would give values that are gone.
    """
    definition, snapshots = context.definition, snapshot_days(context, lookup.stream)
    if not isinstance(lookup.stream.source, Snapshots):
        return SideDays(read=frozenset(snapshots), due=frozenset(snapshots))
    ahead, whole = min(lookup.due_hours, -AHEAD_HOURS), 24 + max(lookup.due_hours, 0)
    readable = [s for s in snapshots if _after(s, ahead) < definition.cutoff(day)]
    newest = max((s for s in readable if _after(s, whole) <= definition.cutoff(day)), default=None)
    due = frozenset[date]() if newest is None else frozenset([newest])
    return SideDays(read=frozenset(s for s in readable if newest is None or s >= newest), due=due)


def _after(day: date, hours: int) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)


def _between(first: date, last: date) -> set[date]:
    return {first + timedelta(days=place) for place in range((last - first).days + 1)}
