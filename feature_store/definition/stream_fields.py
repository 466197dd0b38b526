"""What a stream says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from feature_store.definition.parts import Source, StreamKind, json_digest, plain
from feature_store.definition.row_type import RowType


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFields(RowType):
    """What a stream says, and what follows from it; `Stream` is one that keeps the rules."""

    source: Source
    """Where its rows come from."""
    event_time: str
    """The column (timestamp or date, UTC) that says when a row happens."""
    kind: StreamKind = "log"
    """A `log` tells what happened: a day without rows is one that is missing, and a file that is
    that of another day is refused. Of `changes` a day may have no rows, or the same as another:
    what is told of an entity holds until more is told. A stream of `snapshots` is a whole table
    that is delivered again from time to time, on the days that its source names with
    `snapshot_days()`; a source without has a single one for ever, of `first_day`. It is only looked
    up in, and its event times may lie on any day."""
    first_day: date
    """The first day that there is."""
    last_day: date | None = None
    """The last day that there will be; None: it goes on."""
    absent_days: tuple[date, ...] = ()
    """Days that the source will never have: their events are empty."""
    max_bad_share: float = 0.01
    """The share of bad rows of a day above which the night stops."""
    event_days: tuple[int, int] = (0, 0)
    """The first and last day, counted from `ds`, on which an event of `ds` may lie (UTC)."""

    def has(self, day: date) -> bool:
        """Whether a day is one of the stream's, be it an absent one."""
        return self.first_day <= day and (self.last_day is None or day <= self.last_day)

    @property
    def digest(self) -> str:
        """16 hex digits over what decides the rows of its events."""
        # A log has the digest that it had before there was anything else.
        kind = [] if self.kind == "log" else [self.kind]
        return json_digest([*(plain(getattr(self, field)) for field in _EVENTS), *kind])


_EVENTS = (
    "name", "source", "keys", "event_time", "event_days", "knowns", "max_known_days", "columns",
)  # fmt: skip
