"""What rows ask of the tiles of days before: which histories, of which kinds of tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column

    from feature_store.definition import Definition, History, Tiling
    from feature_store.definition import Sequence as SequenceOf
    from feature_store.definition.history import TileKind


@dataclass(frozen=True, slots=True)
class Ask:
    """What is read of one kind of tiles: those of a history, over its windows."""

    history: History
    tiling: Tiling


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Histories that rows ask for, and what tells those rows apart within a day."""

    definition: Definition
    histories: tuple[History, ...]
    keys: tuple[str, ...]
    sequences: tuple[SequenceOf, ...] = ()
    """What is asked for value by value, beside them."""

    asks: tuple[Ask, ...] = field(init=False)
    """What is read of tiles: one or more of each history, in their order."""

    def __post_init__(self) -> None:
        asks = (
            Ask(history, self.definition.tiling(history, kind))
            for history in self.histories
            for kind in history.kinds
        )
        object.__setattr__(self, "asks", tuple(asks))

    def place(self, history: History, kind: TileKind) -> int:
        """Return the place among `asks` of what a history reads of its tiles of a kind."""
        return next(
            place
            for place, ask in enumerate(self.asks)
            if (ask.history.name, ask.tiling.kind) == (history.name, kind)
        )

    @property
    def windows(self) -> list[list[int | None]]:
        """The days of each ask's window 0, then of each one's window 1 if it has one, ..."""
        own = (ask.history.windows for ask in self.asks)
        return [list(windows) for windows in zip_longest(*own)]

    @property
    def longest_windows(self) -> list[int | None]:
        """The days of each ask's longest window."""
        return [max(ask.history.windows) for ask in self.asks]

    @classmethod
    def of(cls, definition: Definition) -> Wanted:
        """Return all histories and sequences of a pipeline, asked by the rows that it scores."""
        return cls(
            definition=definition,
            histories=definition.histories,
            keys=definition.keys,
            sequences=definition.sequences,
        )


def of_ask(values: Sequence[int | None]) -> Column:
    """Return, of what each ask has, that of the one whose place is `_history`."""
    return F.get(F.lit(list(values)), F.col("_history"))


def places_of(asks: Sequence[Ask]) -> Column:
    """Return the places of the asks that take a tile: in a row each if there are several."""
    digests = [ask.tiling.digest for ask in asks]
    first = F.array_position(F.lit(digests), F.col("history")).cast("int") - 1
    if len(set(digests)) == len(digests):
        return F.when(first >= 0, first)
    alike = [[place for place, own in enumerate(digests) if own == one] for one in digests]
    return F.explode(F.get(F.lit(alike), first))
