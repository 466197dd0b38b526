"""What a stream says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from feature_store.definition.parts import Source, json_digest, plain
from feature_store.definition.row_type import RowType


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFields(RowType):
    """What a stream says, and what follows from it; `Stream` is one that keeps the rules."""

    source: Source
    """Where its rows come from."""
    event_time: str
    """The column (timestamp or date, UTC) that says when a row happens."""
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
        return json_digest([plain(getattr(self, field)) for field in _EVENTS])


_EVENTS = (
    "name", "source", "keys", "event_time", "event_days", "knowns", "max_known_days", "columns",
)  # fmt: skip
