"""Whether a day of a table is fresh, missing, stale or blocked, and why; nothing is changed.

The rules are those by which the steps skip a finished day (`jobs.night.expected`), followed through
the tables: what was made of a stale day is stale.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.schema import (
    EVENTS,
    FEATURES,
    QUARANTINE,
    TILES,
    stream_table,
)
from jobs.night import expected
from jobs.night.refused import EARLIER_USED, has_earlier, is_refused, refusals
from jobs.night.side_days import NONE, SideDays, merged, side_days

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from feature_store.definition import Lookup, Stream
    from feature_store.tables.commits import DayCommit
    from feature_store.tables.inputs import Inputs
    from jobs.context import Context

Status = Literal["fresh", "missing", "stale", "blocked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a day of a table is, with the reasons if it is not fresh."""

    status: Status
    reasons: tuple[str, ...] = ()
    """Why it is stale or missing, or left alone."""
    blocked_by: tuple[str, ...] = ()
    """`table ds` of what is not to be had; not empty exactly if blocked."""


@dataclass
class Freshness:
    """Answers for many days from one look at the tables; ask within `warehouse.held()`."""

    context: Context
    _known: dict[tuple[str, date], State] = field(default_factory=dict)
    _sides: dict[str, dict[date, SideDays]] = field(default_factory=dict)

    def look(self, days: Sequence[date]) -> None:
        """Find out what the tables hold that features of `days` are made of, all days at once."""
        expected.know_what_is_read(self.context, days)
        expected.know(self.context, FEATURES, days)

    def events(self, stream: Stream, day: date) -> State:
        """Return the state of a day of a stream's events."""
        table = stream_table(stream.name, EVENTS)

        def find() -> State:
            return self._from_source(
                table, day, lambda: expected.events_inputs(self.context, stream, day)
            )

        return self._once(table, day, find)

    def tiles(self, stream: Stream, day: date) -> State:
        """Return the state of a day of a stream's tiles, as far as features are made of them."""
        events, tiles = (stream_table(stream.name, table) for table in (EVENTS, TILES))

        def find() -> State:
            upstream = [(events, day, self.events(stream, day))]
            needed = self.context.definition.feature_tilings(stream)
            return self._derived(
                tiles, day, upstream,
                lambda: expected.tiles_inputs(self.context, stream, day, needed),
            )  # fmt: skip

        return self._once(tiles, day, find)

    def features(self, day: date) -> State:
        """Return the state of a day of features."""
        return self._once(FEATURES, day, lambda: self._features(day))

    def _features(self, day: date) -> State:
        context, definition = self.context, self.context.definition
        upstream = self._own_events(day)
        for stream in definition.streams:
            table = stream_table(stream.name, TILES)
            window = definition.window_days(day, stream)
            upstream += [(table, d, self.tiles(stream, d)) for d in window]
            upstream += self._looked_up(stream, day)
        return self._derived(
            FEATURES, day, upstream, lambda: expected.features_inputs(context, day)
        )

    def _own_events(self, day: date) -> list[tuple[str, date, State]]:
        """Return the events of a day that is scored, if rows of a stream are."""
        context, stream = self.context, self.context.definition.stream
        if stream is None:
            return []
        found = [(context.events, day, self.events(stream, day))]
        if expected.lacks_quarantine(context, stream, day):
            gone = State(status="missing", reasons=("it is gone",))
            found.append((stream_table(stream.name, QUARANTINE), day, gone))
        return found

    def _looked_up(self, stream: Stream, day: date) -> list[tuple[str, date, State]]:
        """Return the days of a stream that a day looks up, but for those it does without.

        Of a day without events nobody knows which they are.
        """
        wanted = merged(
            [self._side_days(lk, day) for lk in self.context.definition.lookups_in(stream)]
        )
        states = {d: self.events(stream, d) for d in sorted(wanted.read | wanted.due)}
        table = stream_table(stream.name, EVENTS)
        return [(table, d, s) for d, s in states.items() if d in wanted.due or not s.blocked_by]

    def _side_days(self, lookup: Lookup, day: date) -> SideDays:
        if self.context.definition.stream is None:
            return side_days(self.context, lookup, [day])[day]
        if lookup.name not in self._sides:
            # All that there are: those not known from their features in one look.
            events = [ds for _, ds, _ in self.context.warehouse.commits(self.context.events)]
            self._sides[lookup.name] = side_days(self.context, lookup, events)
        return self._sides[lookup.name].get(day, NONE)

    def _from_source(self, table: str, day: date, inputs: Callable[[], Inputs]) -> State:
        stored = self.context.warehouse.commit(table, day)
        try:
            now = inputs()
        except SourceDayMissing:
            # What was ingested before stays good; only a day never ingested cannot be had.
            if has_earlier(self.context, table, day):
                return State(status="fresh")
            return State(status="blocked", blocked_by=(f"source of {table} {day}",))
        except SourceCorrupt as error:
            if has_earlier(self.context, table, day):
                return _as_good_as_it_can_be(table, day)
            return State(status="blocked", blocked_by=(f"source of {table} {day}: {error}",))
        if stored is None and is_refused(self.context, table, day, now):
            return State(status="blocked", blocked_by=(self._refused(table, day),))
        if stored is None:
            return State(status="missing", reasons=(f"{table} {day} was never written",))
        is_bad = stored.inputs != now and is_refused(self.context, table, day, now)
        if is_bad and has_earlier(self.context, table, day):
            return _as_good_as_it_can_be(table, day)
        return _compare(stored, now)

    def _refused(self, table: str, day: date) -> str:
        """Return what is not to be had of a day whose only delivery cannot be used as it is."""
        name = self.context.definition.name
        return (
            f"source of {table} {day}, refused as it is now: {self._whys[table, day]} (read again "
            f"by: nightscore prepare --pipeline {name} --from {day} --to {day})"
        )

    @cached_property
    def _whys(self) -> dict[tuple[str, date], str]:
        """Why deliveries stand refused, read once for all days."""
        return {(found.table, found.ds): found.why for found in refusals(self.context)}

    def _derived(
        self,
        table: str,
        day: date,
        upstream: list[tuple[str, date, State]],
        inputs: Callable[[], Inputs],
    ) -> State:
        blocked = tuple(by for _, _, state in upstream for by in state.blocked_by)
        stored = self.context.warehouse.commit(table, day)
        if blocked:
            return State(status="blocked", blocked_by=tuple(dict.fromkeys(blocked)))
        if stored is None:
            return State(status="missing", reasons=(f"{table} {day} was never written",))
        changed = [
            f"late input ({name} {d}: {', '.join(state.reasons)})"
            for name, d, state in upstream
            if state.status != "fresh"
        ]
        if stored.foreign:
            return _compare(stored, stored.inputs)
        if changed:
            return State(status="stale", reasons=tuple(_shortened(changed)))
        found = _compare(stored, inputs())
        told = [reason for _, _, state in upstream for reason in state.reasons]
        return found if found.reasons else State(status="fresh", reasons=tuple(_shortened(told)))

    def _once(self, table: str, day: date, find: Callable[[], State]) -> State:
        if (table, day) not in self._known:
            self._known[table, day] = find()
        return self._known[table, day]


def _as_good_as_it_can_be(table: str, day: date) -> State:
    """Return the state of a day whose newest delivery cannot be used: what was there before is."""
    return State(status="fresh", reasons=(f"{EARLIER_USED}: {table} {day}",))


def _compare(stored: DayCommit, now: Inputs) -> State:
    foreign = [f"changed by somebody else ({stored.foreign})"] if stored.foreign else []
    changes = (*foreign, *stored.inputs.changes(now))
    return State(status="stale", reasons=changes) if changes else State(status="fresh")


def _shortened(reasons: list[str]) -> list[str]:
    return reasons if len(reasons) <= 2 else [*reasons[:1], f"and {len(reasons) - 1} more"]
