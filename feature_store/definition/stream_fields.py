"""What a stream says, whether it keeps the rules or not, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from feature_store.definition.expressions import columns_of
from feature_store.definition.parts import Column, Known, Source, json_digest, plain


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFields:
    """What a stream says, and what follows from it; `Stream` is one that keeps the rules."""

    name: str
    source: Source
    keys: tuple[str, ...]
    """Columns that, with `ds`, identify one row."""
    event_time: str
    """The column (timestamp or date, UTC) that says when a row happens."""
    knowns: tuple[Known, ...]
    columns: tuple[Column, ...]
    first_day: date
    last_day: date | None = None
    absent_days: tuple[date, ...] = ()
    """Days that the source will never have: their events are empty."""
    max_bad_share: float = 0.01
    event_days: tuple[int, int] = (0, 0)
    """The first and last day, counted from `ds`, on which an event of `ds` may lie (UTC)."""
    max_known_days: int = 366
    """Days after `ds` within which each of its columns becomes known, at the latest."""

    def has(self, day: date) -> bool:
        """Whether a day is one of the stream's, be it an absent one."""
        return self.first_day <= day and (self.last_day is None or day <= self.last_day)

    def known(self, name: str) -> Known:
        """Return the known-at group of that name."""
        return next(group for group in self.knowns if group.name == name)

    def column(self, name: str) -> Column:
        """Return the column of that name."""
        return next(column for column in self.columns if column.name == name)

    def taken_by(self, expression: str) -> frozenset[str]:
        """Return the columns that an expression takes."""
        return columns_of(expression, {column.name for column in self.columns})

    @property
    def types(self) -> dict[str, str]:
        """The declared type of each column."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def knowledge(self) -> list[Any]:
        """What decides which values of a row were known in time, as JSON-ready data."""
        known = {column.name: column.known for column in self.columns}
        return [plain(self.knowns), known, list(self.keys)]

    @property
    def digest(self) -> str:
        """16 hex digits over what decides the rows of its events."""
        return json_digest([plain(getattr(self, field)) for field in _EVENTS])


_EVENTS = (
    "name", "source", "keys", "event_time", "event_days", "knowns", "max_known_days", "columns",
)  # fmt: skip
