"""What the columns of days hold: how many rows, how many without a value, of which values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

TAILS = (0.01, 0.99)
"""Shares of a number's rows up to its `low`, and up to its `high`."""
_ACCURACY = 1_000
"""A share is found within 1 / 1,000 of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayProfile:
    """One column on one day."""

    ds: date
    rows: int
    filled: int
    """Rows that have a value."""
    low: float | None = None
    """Of a number: what a hundredth of its rows lie below, about; None where none has a value."""
    high: float | None = None
    """The same from above."""

    @property
    def null_share(self) -> float:
        """Share of the rows without a value."""
        return 1 - self.filled / self.rows if self.rows else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnProfile:
    """One column over some days."""

    name: str
    is_number: bool
    days: tuple[DayProfile, ...]
    values: tuple[str, ...] = ()
    """Of a text with few values: all of them, in order; else none."""

    @property
    def most_null(self) -> float:
        """The largest share of a day's rows that have no value."""
        return max((day.null_share for day in self.days), default=0.0)


def profiles(
    df: DataFrame, numbers: Sequence[str], texts: Sequence[str], most_values: int
) -> list[ColumnProfile]:
    """Return what columns hold, by day, in the order in which they are named.

    One pass over the rows, and a second over the texts that the first found to have few values.

    Args:
        df: rows of some days, with `ds`.
        numbers: columns of doubles; NaN and infinities count as values.
        texts: columns of text.
        most_values: texts of more values than this have theirs not told.
    """
    each: list[Column] = [F.count(F.lit(1)).alias("_rows")]
    for name in (*numbers, *texts):
        each.append(F.count(F.col(name)).alias(f"_filled_{name}"))
    for name in numbers:
        tails = F.percentile_approx(F.col(name), list(TAILS), _ACCURACY)
        each.append(tails.alias(f"_tails_{name}"))
    for name in texts:
        # A sketch may be a few percent off: the second pass counts.
        each.append(F.approx_count_distinct(name).alias(f"_distinct_{name}"))
    found = df.groupBy(DS).agg(*each).orderBy(DS).collect()
    few = [n for n in texts if all(row[f"_distinct_{n}"] <= 2 * most_values for row in found)]
    values = _values(df, few) if found and few else {}
    return [
        ColumnProfile(
            name=name,
            is_number=name in numbers,
            days=tuple(_day(row, name, is_number=name in numbers) for row in found),
            values=values[name] if 0 < len(values.get(name, ())) <= most_values else (),
        )
        for name in (*numbers, *texts)
    ]


def _values(df: DataFrame, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    row = df.agg(
        *(F.sort_array(F.collect_set(F.col(name).cast("string"))).alias(name) for name in texts)
    ).first()
    return {name: tuple(row[name]) for name in texts} if row else {}


def _day(row: Any, name: str, *, is_number: bool) -> DayProfile:
    low, high = (row[f"_tails_{name}"] if is_number else None) or (None, None)
    return DayProfile(
        ds=row[DS], rows=row["_rows"], filled=row[f"_filled_{name}"], low=low, high=high
    )
