"""What a row is told by a stream beside it: the latest of its rows of the same keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from feature_store.definition.parts import Column, plain
from feature_store.definition.stream import Stream


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """A stream joined as of a time: its latest row not after `at` and known before the cut-off.

    A row of the stream is known once its keys, its event time and all that is taken of it are; one
    that was corrected is what it was known as before the cut-off. Of rows at the same time it is
    the one known latest, and of those the greatest by a hash of what is taken.

    Where the days before tell what is scored there is no `at`: the time is that of the cut-off.
    What is looked up at a time is looked for on the days of the stream that may hold it, as far as
    they can be known before the cut-off: those that its `event_days` allow.

    Of a stream of `kind="snapshots"` a row takes what the latest snapshot says that was known
    before the cut-off, and has no `at`.
    """

    name: str
    """What features call it: they take `<name>.<column>`."""
    stream: Stream = field(metadata={"by_name": True})
    """What is looked up in. It is not the one whose rows are scored."""
    columns: tuple[str, ...]
    """What is taken of the stream."""
    keys: tuple[str, ...] = ()
    """Columns of the stream by which a row of it is found; () for the stream's own keys."""
    on: tuple[str, ...] = ()
    """What is equal to `keys`, in their order: columns of what is scored, or of a lookup before
    this one, as `lookup.column`; () if they are of the same names."""
    at: str | None = None
    """The time as of which it is looked up: a timestamp column of the row to score."""
    max_age_hours: int | None = None
    """A row that is older than this at that time is not found."""
    valid_until: str | None = field(default=None, metadata={"omit_default": True})
    """A timestamp or date column of the stream: from then on (of a date, from the midnight that
    begins it) a row of it is not found, and one before it may be. A null has no end."""
    due_hours: int = 0
    """When a day of it is to be there, in hours after the day begins; negative for what is known
    ahead, such as a forecast. A night whose cut-off is later stops without it. Before that, a day
    is read if it is there, and nothing is missed if it is not."""

    @property
    def found_by(self) -> tuple[str, ...]:
        """The columns of the stream by which a row of it is found."""
        return self.keys or self.stream.keys

    @property
    def asked_by(self) -> tuple[str, ...]:
        """What of a row, or of lookups before this one, is equal to them."""
        return self.on or self.found_by

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a whole table that is delivered again."""
        return self.stream.kind == "snapshots"

    @property
    def read_columns(self) -> frozenset[str]:
        """The columns of the stream that it reads: a row of it counts once all are known."""
        ends = () if self.valid_until is None else (self.valid_until,)
        return frozenset({*self.found_by, *self.columns, self.stream.event_time, *ends})

    @property
    def known_by(self) -> tuple[str, ...]:
        """The known-at columns all of which say since when a row of the stream counts."""
        groups = {self.stream.column(name).known for name in self.read_columns}
        return tuple(sorted({self.stream.known(group).at for group in groups}))

    @property
    def taken_columns(self) -> dict[str, Column]:
        """The columns that are taken, by the name that features call them."""
        return {f"{self.name}.{name}": self.stream.column(name) for name in self.columns}

    @property
    def read(self) -> list[Any]:
        """What it reads of the stream's rows, as JSON-ready data."""
        taken = [list(self.found_by), list(self.columns), list(self.known_by)]
        ends = [] if self.valid_until is None else [self.valid_until]
        return [self.name, *taken, self.stream.event_time, *ends]

    @property
    def joined(self) -> Any:
        """What decides what is found, given the rows of the stream, as JSON-ready data."""
        stream, names = self.stream, (*self.found_by, *self.columns)
        return {
            **plain(self),
            "read": self.read,
            "types": [[name, stream.types[name]] for name in names],
            "kind": stream.kind,
            "days": plain((stream.event_days, stream.first_day, stream.last_day)),
        }
