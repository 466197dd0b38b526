"""What the raw rows of a source may be made of, and which raw type may become which declared one.

How a value is judged on its way is in `feature_store.events.casts`; the table for people is in
`docs/delivered-files.md`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol, get_args, runtime_checkable

from feature_store.definition import Column, Dtype, Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CORRUPT_RECORD = "_corrupt_record"
"""What is wrong with a row that could not be read, and its text; null in any other."""

UNREADABLE = "_unreadable"
"""Why the rest of a file could not be read, in the one row that stands for it; null in others."""

_WHOLE = ("tinyint", "smallint", "int", "bigint")
_FRACTIONAL = ("float", "double")
_NUMBER: tuple[Dtype, ...] = ("string", "int", "bigint", "double", "boolean")

MAY_BECOME: dict[str, tuple[Dtype, ...]] = {
    "string": get_args(Dtype),
    "binary": ("string",),
    **dict.fromkeys((*_WHOLE, "decimal", *_FRACTIONAL), _NUMBER),
    "boolean": ("string", "boolean"),
    "date": ("string", "date", "timestamp"),
    "timestamp": ("string", "date", "timestamp"),
    "timestamp_ntz": ("string", "date", "timestamp"),
}
"""Spark's name of a raw type, and the declared types that its values may become, each judged."""


def family(raw_type: str) -> str:
    """Return the name by which `MAY_BECOME` knows a type: that of `decimal(10,2)` is `decimal`."""
    return raw_type.partition("(")[0]


def is_whole(raw_type: str) -> bool:
    """Whether a raw type holds whole numbers alone."""
    return raw_type in _WHOLE


def is_fractional(raw_type: str) -> bool:
    """Whether a raw type is a binary fraction, which holds whole numbers only up to a limit."""
    return raw_type in _FRACTIONAL


def refusal(raw_type: str, dtype: Dtype) -> str | None:
    """Return why no value of a raw type may become the declared one; None if some may."""
    known = MAY_BECOME.get(family(raw_type), ())
    if dtype in known:
        return None
    if dtype in ("timestamp", "date") and set(known) == set(_NUMBER):
        return (
            f"is {raw_type}: nobody can tell seconds from milliseconds, nor 20260102 from either. "
            f"A {dtype} is delivered as such or as text (2026-01-02T18:00:00Z)"
        )
    listed = f"it may become {', '.join(known)}" if known else "no declared type takes it"
    return f"is {raw_type} and cannot become the declared {dtype}; {listed}"


def spelling(name: str, present: Iterable[str]) -> str:
    """Return a hint at a name that has the same letters and digits; empty if there is none."""
    near = [other for other in present if _letters(other) == _letters(name)]
    # Blanks around a name are seen in quotes, and what cannot be seen is written out.
    listed = ", ".join(repr(other) for other in near)
    return f" A name is taken letter by letter: {listed} is another." if near else ""


def _letters(name: str) -> str:
    """Return what is left of a name without case, blanks, `_`, quotes and what cannot be seen."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


@runtime_checkable
class FileSource(Source, Protocol):
    """A source of files that need not be alike: it is told which columns are declared."""

    def prefetch(self, days: Iterable[date]) -> None:
        """Look at the files of `days` together, before the fingerprint of each is asked for."""

    def read_parts(
        self, spark: SparkSession, days: Sequence[date], columns: Sequence[Column]
    ) -> Sequence[DataFrame]:
        """Return the raw rows of `days` in one frame for each shape of file."""

    def refuse_copies(self, days: Iterable[date]) -> None:
        """Raise SourceCorrupt if a day's file is that of another day."""


def prefetch(source: Source, days: Iterable[date]) -> None:
    """Let a source of files look at `days` together; any other has no need."""
    if isinstance(source, FileSource):
        source.prefetch(days)


def read_rows(
    source: Source,
    spark: SparkSession,
    days: Sequence[date],
    columns: Sequence[Column],
    *,
    may_repeat: bool = False,
) -> DataFrame | Sequence[DataFrame]:
    """Return the raw rows of `days`.

    Args:
        source: where they are.
        spark: the session.
        days: the days.
        columns: those that are declared.
        may_repeat: whether a day's file may be that of another day.

    Raises:
        SourceDayMissing: the source has nothing for a day.
        SourceCorrupt: a file cannot be used; `ds` is its day.
    """
    if not isinstance(source, FileSource):
        return source.read(spark, days)
    if not may_repeat:
        source.refuse_copies(days)
    return source.read_parts(spark, days, columns)
