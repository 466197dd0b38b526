"""What is scored on a day, one row each: decided by what was known before the cut-off."""

from __future__ import annotations

from dataclasses import dataclass

from feature_store.definition.stream import Stream


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a stream for the day: flights scheduled, ads planned, candidates delivered."""

    stream: Stream

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that, with `ds`, identify one thing to score."""
        return self.stream.keys
