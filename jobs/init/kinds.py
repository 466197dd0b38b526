"""Which declared type the values of a column have, and why it is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from feature_store.definition import Dtype
from feature_store.raw import MAY_BECOME, family
from feature_store.sources.instants import Unit
from feature_store.sources.parquetfile import NULL
from jobs.init.table import ColumnLook

_SHOWN = 3
_INT, _BIGINT, _EXACT = 2**31, 2**63, 2**53
_YEARS: dict[Unit, tuple[float, float]] = {
    "seconds": (946_684_800, 2_208_988_800),
    "milliseconds": (946_684_800_000, 2_208_988_800_000),
}
"""2000 to 2040."""
_TIMELY = re.compile(
    r"(^|_)(ts|time|timestamp|at|date|datetime|epoch|unix|when|day|known|millis|ms|sec|seconds)(_|$)"
)
_ID = re.compile(r"(^|_)(id|uuid|guid|key|no|nr|num|number|phone|code|zip|ean|sku)(_|$)")

_GROWS = re.compile(r"(^|_)(id|key|no|nr|number)$")
"""Ids grow: those of tomorrow may be more than an int holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a column is taken for."""

    dtype: Dtype | None
    """None if no declared type takes it."""
    why: str
    unit: Unit | None = None
    """What its numbers count since 1970, if they are times."""
    positive: tuple[str, ...] = ()
    """Of text that says yes and no: how yes is spelt in the files."""

    @property
    def is_time(self) -> bool:
        """Whether it says an instant or a day."""
        return self.dtype in ("timestamp", "date")

    @property
    def is_truth(self) -> bool:
        """Whether it says yes or no, in whatever way."""
        return self.dtype == "boolean" or bool(self.positive)


def kind_of(column: ColumnLook, name: str) -> Kind:
    """Return what a column is taken for.

    Args:
        column: what was seen of it.
        name: what it will be called, in small letters with `_` between words.
    """
    raw = family(column.raw)
    if raw not in MAY_BECOME and raw != NULL:
        return Kind(dtype=None, why=f"no declared type takes {column.raw}")
    if not column.filled:
        return Kind(dtype="string", why="no row has a value")
    if column.words:
        bare = _kind_of(column, name, raw)
        if bare.dtype == "string":
            return bare
        listed = ", ".join(repr(word) for word in column.words[:_SHOWN])
        return replace(bare, why=f"{bare.why}; {listed} stands for none")
    return _kind_of(column, name, raw)


def _kind_of(column: ColumnLook, name: str, raw: str) -> Kind:
    if raw == "boolean":
        return Kind(dtype="boolean", why="true and false in the files")
    if raw == "date" or raw.startswith("timestamp"):
        dtype: Dtype = "date" if raw == "date" else "timestamp"
        return Kind(dtype=dtype, why=f"a {dtype} in the files")
    if raw in ("string", "binary"):
        return _of_text(column, name)
    return _of_numbers(column, name)


def _of_text(column: ColumnLook, name: str) -> Kind:
    if column.all_are("truth"):
        return Kind(dtype="boolean", why=f"holds {_listed(column)} and nothing else")
    if column.all_are("time", "day"):
        if column.forms.get("time"):
            return Kind(dtype="timestamp", why=f"times written out, such as {column.examples[0]}")
        return Kind(dtype="date", why=f"days written out, such as {column.examples[0]}")
    if column.all_are("answer") and column.counts:
        yes = tuple(sorted(v for v in column.counts if v.lower() in ("yes", "y")))
        why = f"holds {_listed(column)}: an expression makes a truth value of it"
        return Kind(dtype="string", why=why, positive=yes)
    if column.all_are("whole") and column.forms.get("padded"):
        return Kind(
            dtype="string", why="digits with leading zeros: as a number they would be another"
        )
    if column.minimum is not None:
        return _of_numbers(column, name)
    return Kind(dtype="string", why=f"text, such as {column.examples[0]!r}")


def _of_numbers(column: ColumnLook, name: str) -> Kind:
    low, high = column.minimum, column.maximum
    if low is None or high is None:  # decimals of the files that are looked at as text
        return Kind(dtype="string", why=f"{column.raw}, which no whole number type holds")
    unit = _unit(column, name)
    if unit is not None:
        return Kind(
            dtype="timestamp",
            unit=unit,
            why=f"all between 2000 and 2040 if they are {unit} of 1970",
        )
    if not column.is_whole:
        return Kind(dtype="double", why="numbers with fractions")
    if (low, high) == (0.0, 1.0) and column.distinct <= 4 and column.is_exact:
        return Kind(dtype="boolean", why="holds 0 and 1 and nothing else")
    because = ""
    if column.raw in ("double", "float"):
        because = ": stored as doubles, as pandas does beside a null" if column.nulls else ""
        if max(abs(low), abs(high)) >= _EXACT:
            return Kind(dtype="double", why="whole numbers beyond what a double holds exactly")
    if max(abs(low), abs(high)) < _INT and not _GROWS.search(name):
        return Kind(dtype="int", why=f"whole numbers from {low:,.0f} to {high:,.0f}{because}")
    if max(abs(low), abs(high)) < _BIGINT:
        return Kind(dtype="bigint", why=f"whole numbers up to {high:,.0f}{because}")
    return Kind(dtype="string", why="digits, more than a whole number type holds")


def _unit(column: ColumnLook, name: str) -> Unit | None:
    """Return the unit in which numbers are plausible times; nobody can know it from a number."""
    if column.minimum is None or column.maximum is None or _ID.search(name):
        return None
    for unit, (first, last) in _YEARS.items():
        is_within = first <= column.minimum <= column.maximum < last
        if is_within and (_TIMELY.search(name) or (column.is_whole and column.distinct > 1)):
            return unit
    return None


def _listed(column: ColumnLook) -> str:
    return " and ".join(sorted(column.counts)[:4])
