"""What is known of a column so far, while its file is read: never more than so many values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from feature_store.sources.instants import days_of
from jobs.init.forms import forms_of, marks_of, numbers_of
from jobs.init.table import ColumnLook

if TYPE_CHECKING:
    import pyarrow as pa

_MOST_VALUES = 50_000
"""Values that are told apart; of more it is known only that there are more."""
_COUNTED = 64
_EXAMPLES, _LETTERS = 3, 40
_LONGEST = 200
"""Letters by which texts are told apart."""


@dataclass(kw_only=True, slots=True)
class Facts:
    """What is known of a column so far."""

    name: str
    raw: str
    nulls: int = 0
    values: set[Any] = field(default_factory=set)
    is_exact: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    is_number: bool = True
    is_whole: bool = True
    forms: Counter[str] = field(default_factory=Counter)
    days: list[date] = field(default_factory=list)
    untold: int = 0
    words: set[str] = field(default_factory=set)
    letters: int = 0
    spaces: int = 0

    def add(self, values: pa.Array) -> None:
        """Take in the values of a batch."""
        import pyarrow as pa

        self.nulls += values.null_count
        told = values.drop_null().value_counts()
        values, counts = told.field("values"), told.field("counts")
        if not len(values):
            return
        self._tell_apart(values, counts)
        if pa.types.is_string(values.type):
            self._add_text(values, counts)
        elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            self._add_numbers(values)
        else:
            self.is_number = False
            if not pa.types.is_boolean(values.type):
                self._add_days(values, counts)

    def told(self, rows: int) -> ColumnLook:
        """Return what is known, of a table of so many rows."""
        forms, words = dict(self.forms), self._null_words(rows - self.nulls)
        nulls = self.nulls + (forms.pop("mark", 0) if words else 0)
        filled = rows - nulls
        low, high = (min(self.limits), max(self.limits)) if self.limits else (None, None)
        is_number = self.is_number and low is not None
        counts = {v: n for v, n in self.counts.items() if v not in words}
        return ColumnLook(
            name=self.name,
            raw=self.raw,
            rows=rows,
            nulls=nulls,
            distinct=len(self.values - words),
            is_exact=self.is_exact,
            counts=counts if len(self.values) <= _COUNTED else {},
            examples=tuple(value for value in self.examples if value not in words)[:_EXAMPLES],
            minimum=low if is_number else None,
            maximum=high if is_number else None,
            is_whole=is_number and self.is_whole,
            forms=forms,
            first=min(self.days, default=None),
            last=max(self.days, default=None),
            untold=self.untold,
            words=tuple(sorted(words)),
            mean_letters=self.letters / filled if filled else 0.0,
            mean_words=self.spaces / filled + 1 if filled else 0.0,
        )

    def _null_words(self, filled: int) -> set[str]:
        """Return the words that stand for a null, where all other values are of one form."""
        marks = self.forms.get("mark", 0)
        kinds = [self.forms.get(form, 0) for form in ("number", "truth")]
        kinds.append(self.forms.get("time", 0) + self.forms.get("day", 0))
        return self.words if marks and filled - marks in kinds and filled > marks else set()

    def _tell_apart(self, values: pa.Array, counts: pa.Array) -> None:
        if not self.is_exact:
            return
        for found, count in zip(values.to_pylist(), counts.to_pylist(), strict=True):
            value = found[:_LONGEST] if isinstance(found, str) else found
            if value in self.values or len(self.values) < _MOST_VALUES:
                self.values.add(value)
            else:
                self.is_exact = False
            if str(value) in self.counts or len(self.counts) <= _COUNTED:
                self.counts[str(value)] += count
            if len(self.examples) <= _EXAMPLES and str(value)[:_LETTERS] not in self.examples:
                self.examples.append(str(value)[:_LETTERS])

    def _add_text(self, values: pa.Array, counts: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows, forms = pc.sum(counts).as_py(), forms_of(values, counts)
        self.forms.update(forms)
        self.letters += pc.sum(pc.multiply(pc.utf8_length(values), counts)).as_py()
        self.spaces += pc.sum(pc.multiply(pc.count_substring(values, " "), counts)).as_py()
        if forms.get("mark"):
            words = marks_of(values)
            self.words.update(words)
            is_other = pc.invert(pc.is_in(values, pa.array(words)))
            values, counts = values.filter(is_other), counts.filter(is_other)
            rows -= forms["mark"]
        if not rows:
            return
        if forms.get("time", 0) + forms.get("day", 0) == rows:
            self._add_days(values, counts)
        if self.is_number and forms.get("number", 0) == rows:
            self._limit(numbers_of(values))
            self.is_whole = self.is_whole and forms.get("whole", 0) == rows
        else:
            self.is_number = False

    def _add_days(self, values: pa.Array, counts: pa.Array) -> None:
        import pyarrow.compute as pc

        days = days_of(values, None)
        self.untold += pc.sum(counts.filter(days.is_null())).as_py() or 0
        limits = pc.min_max(days).as_py()
        self.days = [day for day in (*self.days, *limits.values()) if day is not None]
        self.days = [min(self.days), max(self.days)] if self.days else []

    def _add_numbers(self, numbers: pa.Array) -> None:
        import numpy as np
        import pyarrow as pa

        self._limit(numbers)
        if pa.types.is_floating(numbers.type):
            found = np.asarray(numbers)
            self.is_whole = self.is_whole and bool(np.all(np.floor(found) == found))

    def _limit(self, numbers: pa.Array) -> None:
        import pyarrow.compute as pc

        limits = pc.min_max(numbers).as_py()
        self.limits = [
            min([limits["min"], *self.limits[:1]]),
            max([limits["max"], *self.limits[1:]]),
        ]
