"""What is guessed of files: each part with the reason, in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from feature_store.definition import Dtype, Transform
from feature_store.sources.instants import Unit

ROW, OUTCOME = "row", "outcome"
"""The two groups of knowledge: what is known beforehand, and what is known after the event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceGuess:
    """How the files are laid out, and so which source reads them."""

    kind: Literal["daily", "undated"]
    place: str
    """The folder of daily files; the path of undated ones."""
    format: str
    delimiter: str
    why: str
    pattern: str = ""
    day_column: str = ""
    """As the files call it."""
    unit: Unit | None = None
    first_day: date
    last_day: date
    absent_days: tuple[date, ...] = ()
    """Days between these that the files do not hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeGuess:
    """A time that the files lack and the source states."""

    name: str
    hours: int
    """After the midnight that begins the day."""
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnGuess:
    """One column that is declared."""

    name: str
    theirs: str
    """What the files call it; empty for a time that is stated."""
    dtype: Dtype
    known: str
    nullable: bool
    why: str
    unit: Unit | None = None
    words: tuple[str, ...] = ()
    """Words that stand for a null in it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownGuess:
    """When a group of columns becomes known."""

    name: str
    at: str
    after_event: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class KeysGuess:
    """What identifies a row within a day."""

    columns: tuple[str, ...]
    why: str
    duplicates: int = 0
    """Rows of the sample that share their keys with an earlier one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventGuess:
    """When a row happens."""

    column: str
    days: tuple[int, int]
    """The first and last day, counted from that of the file, on which it does."""
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelGuess:
    """What could be predicted."""

    name: str
    expression: str
    column: str
    rate: float
    """The share of rows with a label that are positive."""
    why: str
    others: tuple[str, ...] = ()
    """Columns that could be the label as well, the likelier first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureGuess:
    """One column that a model may use."""

    name: str
    column: str
    kind: Literal["categorical", "numeric"]
    why: str
    transform: Transform = "identity"
    offset: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """One column that is no feature."""

    theirs: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryGuess:
    """How often the label was true for an entity in the days before."""

    name: str
    keys: tuple[str, ...]
    value: str
    """The label's expression."""
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SideGuess:
    """Another table that was given, which a lookup could join."""

    title: str
    keys: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """A pipeline that could be made of the files."""

    title: str
    rows: int
    source: SourceGuess
    times: tuple[TimeGuess, ...]
    columns: tuple[ColumnGuess, ...]
    keys: KeysGuess
    event: EventGuess
    knowns: tuple[KnownGuess, ...]
    label: LabelGuess | None
    no_label: str = ""
    """Why there is no label, and what to write."""
    features: tuple[FeatureGuess, ...]
    left_out: tuple[LeftOut, ...]
    histories: tuple[HistoryGuess, ...]
    sides: tuple[SideGuess, ...] = ()
    notes: tuple[str, ...] = field(default=())
    """What a person should know before they trust it."""

    @property
    def names(self) -> dict[str, str]:
        """What the files call columns otherwise than the definition, by declared name."""
        return {c.name: c.theirs for c in self.columns if c.theirs and c.theirs != c.name}

    @property
    def null_words(self) -> tuple[str, ...]:
        """Words that stand for a null in declared columns."""
        return tuple(sorted({word for column in self.columns for word in column.words}))

    def counted(self, unit: Unit) -> tuple[str, ...]:
        """Return the declared times that the files count in a unit."""
        return tuple(column.name for column in self.columns if column.unit == unit)
