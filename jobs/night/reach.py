"""Which days of which table a day is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.schema import EVENTS, lookup_table
from jobs.night.side_days import SideDays, side_days

if TYPE_CHECKING:
    from jobs.context import Context

CHUNK_DAYS = 92
"""Days per commit: what a kill can cost, against the fixed cost of a commit (about a second)."""


def days_to_ingest(context: Context, days: Sequence[date]) -> list[date]:
    """Return `days` and every day that a history window of them reads, oldest first."""
    windows = (d for day in days for d in context.definition.window_days(day))
    return sorted({*days, *windows})


def source_days(context: Context, day: date) -> set[tuple[str, date]]:
    """Return the (table, day) of everything from a source without which `day` cannot be made."""
    return _of_source(context, day, lambda wanted: wanted.due)


def days_read(context: Context, day: date) -> set[tuple[str, date]]:
    """Return the (table, day) of everything from a source that `day` is made of, if it is there."""
    return _of_source(context, day, lambda wanted: wanted.due | wanted.read)


def _of_source(
    context: Context, day: date, which: Callable[[SideDays], frozenset[date]]
) -> set[tuple[str, date]]:
    found = {(EVENTS, d) for d in days_to_ingest(context, [day])}
    for lookup in context.definition.lookups:
        table = lookup_table(lookup.name)
        found |= {(table, d) for d in which(side_days(context, lookup, [day])[day])}
    return found


def chunks(days: Sequence[date], size: int = CHUNK_DAYS) -> Iterator[Sequence[date]]:
    """Yield the days in pieces of at most `size`."""
    for start in range(0, len(days), size):
        yield days[start : start + size]


def ranges_text(days: Sequence[date]) -> str:
    """Return days in words, such as `2026-01-01 to 2026-01-04, 2026-01-06`."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1][1:] = [day]
        else:
            runs.append([day])
    return ", ".join(" to ".join(str(day) for day in run) for run in runs)
