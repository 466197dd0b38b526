"""What rows ask of the tiles of days before: which histories, of which kinds of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_store.definition import Definition, History, Tiling
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

    @property
    def asks(self) -> list[Ask]:
        """What is read of tiles: one or more of each history, in their order."""
        return [
            Ask(history, self.definition.tiling(history, kind))
            for history in self.histories
            for kind in history.kinds
        ]

    def place(self, history: History, kind: TileKind = "sums") -> int:
        """Return the place among `asks` of what a history reads of its tiles of a kind."""
        return next(
            place
            for place, ask in enumerate(self.asks)
            if (ask.history.name, ask.tiling.kind) == (history.name, kind)
        )

    @classmethod
    def of(cls, definition: Definition) -> Wanted:
        """Return all histories of a pipeline, asked for by the rows that it scores."""
        return cls(definition=definition, histories=definition.histories, keys=definition.keys)
