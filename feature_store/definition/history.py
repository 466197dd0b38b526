"""What became of the days before: aggregates of a stream over windows of days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from feature_store.definition.parts import Aggregate, json_digest, plain
from feature_store.definition.stream import Stream

TileKind = Literal["sums", "squares", "extremes", "moments", "items", "texts"]
"""What a tile keeps of the values of a day: how many there are and their sum, or that of their
squares; the least and the largest; each with its time; which different ones there are; each as a
text, with its time."""

_MADE_OF: dict[Aggregate, tuple[TileKind, ...]] = {
    "mean": ("sums",),
    "sum": ("sums",),
    "count": ("sums",),
    "days_since_last": ("sums",),
    "stddev": ("sums", "squares"),
    "min": ("extremes",),
    "max": ("extremes",),
    "first": ("moments",),
    "last": ("moments",),
    "distinct": ("items",),
}
COUNTS: frozenset[Aggregate] = frozenset({"count", "distinct"})
"""Aggregates that are 0 where there is nothing; the others are null."""


class ByKeys:
    """What rows of a stream tell by their keys, of those for which a condition holds."""

    __slots__ = ()

    keys: tuple[str, ...]
    on: tuple[str, ...]
    value: str
    where: str | None

    @property
    def asked_by(self) -> tuple[str, ...]:
        """The columns of what is scored that say of which keys it is asked."""
        return self.on or self.keys

    @property
    def counted(self) -> str:
        """The value of the rows that count, and null for the others."""
        return self.value if self.where is None else f"CASE WHEN {self.where} THEN {self.value} END"


@dataclass(frozen=True, kw_only=True, slots=True)
class History(ByKeys):
    """Aggregates of `value` over the days before `ds`, per `keys`, from daily tiles.

    Yields, per window of w days, `<name>_<aggregate>_<w>d`, a double. `value` is a SQL expression
    (boolean or number) over the stream's columns, `known` the group whose time says when it counts.
    A row for which it cannot be evaluated, or is not finite, has no value.

    `count` and `distinct` are 0 where the window holds no value, every other aggregate is null.
    Sums are exact, whatever the order of the rows. `stddev` is that of a sample (SQL's
    `stddev_samp`): null for a single value. `first` and `last` are the values of the rows with the
    least and the greatest event time; of rows at the same time, the least and the largest value.
    `distinct` is how many different values there are, exactly; where it is the only aggregate, the
    value may be of any type. `days_since_last` are the days from the last one with a value to `ds`:
    1 for the day before.

    Of a day, tiles keep what its rows add up to: one row of a key for sums, squares and extremes;
    one for each different value for `distinct`, and for each different time for `first` and `last`.
    """

    name: str
    """What its columns begin with."""
    keys: tuple[str, ...]
    """Columns of the stream."""
    value: str
    """What is aggregated."""
    known: str
    """A group of the stream."""
    windows: tuple[int, ...]
    """How many days before `ds` are looked at; of each number there are columns of their own."""
    aggregates: tuple[Aggregate, ...] = ("mean", "count")
    """What is made of the values of a window."""
    stream: Stream | None = field(default=None, metadata={"by_name": True, "omit_default": True})
    """Whose rows are aggregated; None for the stream whose rows are scored."""
    on: tuple[str, ...] = field(default=(), metadata={"omit_default": True})
    """Columns of what is scored that are equal to `keys`, in their order; () if of the same names.
    """

    where: str | None = field(default=None, metadata={"omit_default": True})
    """A boolean SQL expression: a row for which it does not hold has no value. None: all have."""

    @property
    def kinds(self) -> tuple[TileKind, ...]:
        """What its tiles have to keep of a day, each once."""
        kinds = (kind for aggregate in self.aggregates for kind in _MADE_OF[aggregate])
        return tuple(dict.fromkeys(kinds))

    @property
    def takes_any_type(self) -> bool:
        """Whether nothing is computed with its values, so that they need be no numbers."""
        return self.kinds == ("items",)

    def columns(self) -> Iterator[tuple[str, Aggregate, int]]:
        """Yield (feature name, aggregate, window in days)."""
        for window in self.windows:
            for aggregate in self.aggregates:
                yield f"{self.name}_{aggregate}_{window}d", aggregate, window


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiling:
    """What the tiles of a history are made of: the same for all histories that are made of alike.

    Windows and aggregates are taken of the tiles, so they are no part of it.
    """

    stream: Stream
    keys: tuple[str, ...]
    value: str
    known: str
    cutoff_hours: int
    kind: TileKind = "sums"

    columns: frozenset[str] = field(init=False, compare=False)
    """The columns that keys and values are made of."""
    digest: str = field(init=False, compare=False)
    """16 hex digits over what decides the tiles, given the events."""

    def __post_init__(self) -> None:
        # Asked for several times of each day of a year: worked out once.
        stream, times = self.stream, {self.stream.event_time} if self.is_timed else set()
        read = frozenset({*self.keys, *stream.taken_by(self.value), *times})
        columns = [[c.name, c.dtype, c.known] for c in stream.columns if c.name in read]
        made_of = [stream.name, list(self.keys), self.value, self.known]
        if self.kind != "sums":
            made_of.append(self.kind)
        digest = json_digest([made_of, columns, plain(stream.knowns), self.cutoff_hours])
        object.__setattr__(self, "columns", read)
        object.__setattr__(self, "digest", digest)

    @property
    def is_timed(self) -> bool:
        """Whether its tiles hold the time of each value."""
        return self.kind in ("moments", "texts")

    @property
    def is_summed(self) -> bool:
        """Whether its tiles hold sums, and not values themselves."""
        return self.kind in ("sums", "squares")

    @property
    def title(self) -> str:
        """What it is, for a person, and told apart from all others."""
        what = "" if self.kind == "sums" else f"{self.kind} of "
        return f"{what}{self.value} by {', '.join(self.keys)} [{self.digest[:8]}]"
