"""What each table's day should be made of now: the one place that knows what depends on what.

The steps compare these inputs with the stored ones to skip a finished day; the planner compares
them to say why a day is stale. Both therefore always agree.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.definition import json_digest
from feature_store.errors import PartitionNotReady, SourceCorrupt, SourceDayMissing
from feature_store.schema import (
    EVENTS,
    FEATURES,
    QUARANTINE,
    SCORES,
    TILES,
    stream_table,
)
from feature_store.tables.content import ALL, digest_of
from feature_store.tables.inputs import Inputs, Pin, Pins
from jobs.night.reading import KNOWN, LOOKED_UP, content_of
from jobs.night.released import released_digest
from jobs.night.side_days import ABSENT, due_hint, looked_up_days
from jobs.version import revision

if TYPE_CHECKING:
    from feature_store.definition import Stream, Tiling
    from jobs.context import Context

log = logging.getLogger(__name__)

_HISTORY = "history "
"""Begins the names of the parts of a day of tiles: each of them is computed by itself."""
_TYPE = "type of "
_KNOWLEDGE = "when columns are known"


def events_inputs(context: Context, stream: Stream, day: date) -> Inputs:
    """Return the inputs of a day of a stream's `events` (and of its quarantine).

    The earlier versions that a day carried over when it was delivered again (see
    `with_earlier_versions`) are part of it for as long as that delivery is the newest.
    """
    now = _delivered_inputs(context, stream, day)
    stored = context.warehouse.commit(stream_table(stream.name, EVENTS), day)
    if stored is not None and dataclasses.replace(stored.inputs, pins={}) == now:
        return stored.inputs
    # What it would carry over is decided when it is read.
    return now if stored is None else dataclasses.replace(now, pins=stored.inputs.pins)


def with_earlier_versions(
    context: Context, stream: Stream, inputs: Mapping[date, Inputs]
) -> dict[date, Inputs]:
    """Return the inputs of days of events, with a pin to what earlier deliveries told of the day.

    A delivery replaces what it tells; what it does not tell (of which rows something else was known
    before) is carried over from the events that it replaces, and those are pinned.
    """
    events = stream_table(stream.name, EVENTS)
    know(context, events, inputs, ALL)
    commits = context.warehouse.commits(events)

    def is_there(day: date) -> bool:
        # What somebody else changed is no delivery of ours.
        commit = commits.get((events, day, ""))
        return commit is not None and commit.rows > 0 and not commit.foreign

    earlier = {day: {events: pins(context, events, [day])} for day in inputs if is_there(day)}
    return {day: dataclasses.replace(i, pins=earlier.get(day, {})) for day, i in inputs.items()}


def _delivered_inputs(context: Context, stream: Stream, day: date) -> Inputs:
    """Return what a day of events would be made of if nothing had been delivered before.

    Rows that were released are a delivery too.
    """
    source = "absent" if day in stream.absent_days else stream.source.fingerprint(day)
    released = released_digest(context, stream, day)
    return Inputs(
        definition=stream.digest,
        code=revision(EVENTS, stream.source),
        parts=events_parts(stream),
        source=f"{source} and released {released}" if released else source,
    )


def lacks_quarantine(context: Context, stream: Stream, day: date) -> bool:
    """Whether the quarantine of a day is gone that its source still tells, beside good events.

    Events and quarantine are written of the same reading: with the events made anew comes the
    quarantine, and no features are made of it. So it is a fault of its own day only.
    """
    events, quarantine = (stream_table(stream.name, table) for table in (EVENTS, QUARANTINE))
    stored = context.warehouse.commit(events, day)
    if stored is None or context.warehouse.commit(quarantine, day) is not None:
        return False
    try:
        return stored.inputs == events_inputs(context, stream, day)
    except (SourceCorrupt, SourceDayMissing):  # what a reading of then left out nobody can tell
        return False


def events_parts(stream: Stream) -> dict[str, str]:
    """Return what events are by their stream, apart from the rules of their columns."""
    types = {f"{_TYPE}{name}": dtype for name, dtype in stream.types.items()}
    return {**types, _KNOWLEDGE: json_digest(stream.knowledge)}


def needed_by_windows(
    context: Context, stream: Stream, inputs: Mapping[date, Inputs], outdated: Sequence[date]
) -> list[date]:
    """Return the outdated days of events that a night must read again before it uses them.

    It must if the source changed, somebody else changed the rows, or what the histories read of
    the day is another thing now. What only an older rule of a column or older code made is used as
    it is, which is told: to read a month again would miss the deadline, and is for a backfill.
    """
    needed = [day for day in outdated if _must_be_read_again(context, stream, day, inputs[day])]
    left = sorted(set(outdated) - set(needed))
    if left:
        events = stream_table(stream.name, EVENTS)
        stored = context.warehouse.commits(events)[events, left[0], ""].inputs
        name, why = context.definition.name, ", ".join(stored.changes(inputs[left[0]]))
        log.warning(
            "pipeline=%s %d days of history of stream %s from %s on are used as they are (%s). To "
            "make them anew: nightscore backfill --pipeline %s --from %s --to %s --reason ...",
            name, len(left), stream.name, left[0], why, name, left[0], left[-1],
        )  # fmt: skip
    return needed


def _must_be_read_again(context: Context, stream: Stream, day: date, now: Inputs) -> bool:
    commit = context.warehouse.commit(stream_table(stream.name, EVENTS), day)
    if commit is None or commit.foreign or commit.inputs.source != now.source:
        return True
    taken = {name for tiling in context.definition.tilings(stream) for name in tiling.columns}
    names = {_KNOWLEDGE, *(f"{_TYPE}{column}" for column in taken)}
    return any(commit.inputs.parts.get(name) != now.parts.get(name) for name in names)


def tiles_inputs(context: Context, stream: Stream, day: date, needed: Iterable[Tiling]) -> Inputs:
    """Return the inputs of a day of a stream's `tiles` that has what is needed.

    They hold what any pipeline made of the same events: a day that has what is needed is left as it
    is, and what others need stays where something is added.
    """
    events, tiles = (stream_table(stream.name, table) for table in (EVENTS, TILES))
    now = Inputs(
        definition=stream.name,
        code=revision(TILES),
        parts={f"{_HISTORY}{tiling.title}": tiling.digest for tiling in needed},
        pins={events: pins(context, events, [day])},
    )
    stored = context.warehouse.commit(tiles, day)
    if stored is None or stored.foreign:
        return now
    kept = stored.inputs
    if (kept.definition, kept.code, kept.pins) != (now.definition, now.code, now.pins):
        return now
    return dataclasses.replace(now, parts={**kept.parts, **now.parts})


def features_inputs(context: Context, day: date) -> Inputs:
    """Return the inputs of a day of `features`.

    Only what its rows read is pinned: of events what was known before the cut-off, of tiles and
    what is looked up what is usable on the day. What became known later changes nothing here.

    Raises:
        PartitionNotReady: a day of events, of a history's window or to look up is missing.
        DayChanged: somebody else changed one of them.
    """
    definition = context.definition
    read: dict[str, Pins] = {}
    if definition.stream is not None:
        read[context.events] = pins(context, context.events, [day], part=KNOWN)
    for stream in definition.streams:
        window, tiles = definition.window_days(day, stream), stream_table(stream.name, TILES)
        if window:
            own = {tiling.digest for tiling in definition.feature_tilings(stream)}
            read[tiles] = pins(context, tiles, window, until=day, of=own)
        if definition.lookups_in(stream):
            read[stream_table(stream.name, EVENTS)] = _side_pins(context, stream, day)
    types = {f"{_TYPE}{name}": dtype for name, dtype in definition.row.types.items()}
    return Inputs(
        definition=definition.digest("features"), code=revision(FEATURES), parts=types, pins=read
    )


def _side_pins(context: Context, stream: Stream, day: date) -> Pins:
    """Return what is looked up in a stream; a day that is not there is one without a usable row.

    Raises:
        PartitionNotReady: a day that is due is not there.
    """
    table, days = stream_table(stream.name, EVENTS), looked_up_days(context, stream, [day])
    commits = context.warehouse.commits(table)
    wanted = days.read | days.due
    lacking = {d for d in wanted if (table, d, "") not in commits}
    if due := sorted(lacking & days.due):
        raise PartitionNotReady(table, due, _how_to_have(context, stream, day))
    # Which of several lookups reads which day is not told apart: it is pinned for all of them.
    names = {lookup.name for lookup in context.definition.lookups_in(stream)}
    there = sorted(wanted - lacking)
    found = pins(context, table, there, until=day, part=LOOKED_UP, of=names)
    nothing = digest_of({}, until=day)
    missed = [Pin(ds=d, digest=nothing, version=ABSENT, table_id="") for d in lacking]
    return tuple(sorted((*found, *missed), key=lambda pin: pin.ds))


def _how_to_have(context: Context, stream: Stream, day: date) -> str:
    definition = context.definition
    run = f"Run: nightscore prepare --pipeline {definition.name} --from {day} --to {day}"
    hint = due_hint(definition.lookups_in(stream))
    return f"ds={day} looks them up. {run}. {hint}"


def scores_inputs(context: Context, day: date, model_digest: str) -> Inputs:
    """Return the inputs of a day of `scores`, made by one model."""
    definition = context.definition
    return Inputs(
        definition=f"{definition.digest('scores')}{definition.digest('encoding')}",
        code=revision(SCORES),
        model=model_digest,
        pins={FEATURES: pins(context, FEATURES, [day])},
    )


def know(context: Context, table: str, days: Iterable[date], part: str = "") -> None:
    """Find out what days of a table hold, all at once; see `Warehouse.know`."""
    content = content_of(context.definition, table)
    context.warehouse.know(table, days, content, part=part)


def know_what_is_read(context: Context, days: Sequence[date]) -> None:
    """Find out what every day that features of `days` read holds, in one pass over each table."""
    definition = context.definition
    if definition.stream is not None:
        know(context, context.events, days)
    for stream in definition.streams:
        windows = {d for day in days for d in definition.window_days(day, stream)}
        events, looked_up = stream_table(stream.name, EVENTS), looked_up_days(context, stream, days)
        know(context, events, looked_up.read, LOOKED_UP)
        know(context, events, windows, ALL)
        know(context, stream_table(stream.name, TILES), windows)


def pins(
    context: Context,
    table: str,
    days: Sequence[date],
    *,
    until: date | None = None,
    part: str = ALL,
    of: Collection[str] | None = None,
) -> Pins:
    """Return what a reader of days of a table pins; see `Warehouse.pins`."""
    content = content_of(context.definition, table)
    return context.warehouse.pins(table, days, content, until=until, part=part, of=of)


def run_id(pipeline: str, day: date, inputs: Inputs) -> str:
    """Return the id of the run that scores `day` from `inputs`: the same inputs, the same id."""
    text = f"{pipeline}/{day.isoformat()}/{inputs.identity()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
