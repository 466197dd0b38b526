"""What was seen of a table: facts about each column, and some of its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from jobs.init.layout import Layout

if TYPE_CHECKING:
    import pyarrow as pa

DS = "_ds"
"""The column of a sample that holds the day of a row's file; null where its place says none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnLook:
    """What was seen of one column, over all rows."""

    name: str
    """As the files call it."""
    raw: str
    """Spark's name of its type in the files; text in CSV. One that nobody reads has its own."""
    rows: int
    nulls: int
    distinct: int
    """How many values there are; the least there can be, where `is_exact` is false."""
    is_exact: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often each value is there, if there are few."""
    examples: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    """Of numbers, written or typed; None where not all values are some."""
    is_whole: bool = False
    """Whether all numbers are whole."""
    forms: Mapping[str, int] = field(default_factory=dict)
    """How many texts have each form; see `jobs.init.forms`."""
    first: date | None = None
    last: date | None = None
    """The days between which times lie, typed or written out."""
    untold: int = 0
    """Of texts that look like times, those of a day that there is not, such as 2026-02-30."""
    words: tuple[str, ...] = ()
    """Words such as `NA` that stand for a null among numbers, times or truth values; counted as
    nulls."""
    mean_letters: float = 0.0
    mean_words: float = 0.0

    @property
    def filled(self) -> int:
        """Rows that have a value."""
        return self.rows - self.nulls

    def all_are(self, *forms: str) -> bool:
        """Whether every text has one of some forms that exclude each other."""
        return self.filled > 0 and sum(self.forms.get(form, 0) for form in forms) == self.filled


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Files of the same kind, as they were seen."""

    layout: Layout
    delimiter: str
    rows: int
    columns: tuple[ColumnLook, ...]
    sample: pa.Table = field(compare=False, repr=False)
    """The first rows of each file, as raw as they are, with `_ds` beside them."""
    broken: int = 0
    """Lines that cannot be split, or hold what is no text."""
    first_broken: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether the sample holds every row."""
        return self.sample.num_rows == self.rows

    @property
    def title(self) -> str:
        """The files, for a message."""
        files = self.layout.files
        return f"file {files[0]}" if len(files) == 1 else f"files {files[0]} … {files[-1]}"

    def column(self, name: str) -> ColumnLook:
        """Return the column that the files call so."""
        return next(column for column in self.columns if column.name == name)
