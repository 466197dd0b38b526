"""Which days of which table a day is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from feature_store.schema import EVENTS, stream_table
from jobs.night.side_days import SideDays, looked_up_days

if TYPE_CHECKING:
    from feature_store.definition import Stream
    from jobs.context import Context

FIRST_DAYS = 122
"""Days in the first piece of work on many; how many are in the next follows from its time."""
FIRST_ROWS = 500_000
"""Or as many days as hold so many rows, where that is known beforehand."""
PIECE_SECONDS = 120.0
"""What a kill can cost, against the fixed cost of a piece (5 to 15 s on two cores)."""
MAX_GROWTH = 4
"""At most so many times the days of the piece before: its time may have been luck."""


def days_to_ingest(context: Context, stream: Stream, days: Iterable[date]) -> list[date]:
    """Return the days of a stream that `days` are made of, oldest first, but for what is looked up.

    They are `days` themselves, if its rows are what is scored, and those that a window of them
    reads.
    """
    definition = context.definition
    own = days if definition.is_scored(stream) else ()
    windows = (d for day in days for d in definition.window_days(day, stream))
    return sorted({*own, *windows})


def source_days(context: Context, day: date) -> set[tuple[str, date]]:
    """Return the (table, day) of everything from a source without which `day` cannot be made."""
    return _of_source(context, day, lambda wanted: wanted.due)


def days_read(context: Context, day: date) -> set[tuple[str, date]]:
    """Return the (table, day) of everything from a source that `day` is made of, if it is there."""
    return _of_source(context, day, lambda wanted: wanted.due | wanted.read)


def _of_source(
    context: Context, day: date, which: Callable[[SideDays], frozenset[date]]
) -> set[tuple[str, date]]:
    return {
        (stream_table(stream.name, EVENTS), d)
        for stream in context.definition.streams
        for d in (
            *days_to_ingest(context, stream, [day]),
            *which(looked_up_days(context, stream, [day])),
        )
    }


def chunks(days: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    """Yield the days in pieces of at most `size`."""
    for start in range(0, len(days), size):
        yield days[start : start + size]


def paced(
    days: Sequence[date],
    rows: Mapping[date, int] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Sequence[date]]:
    """Yield the days in pieces that take whoever works on them about `PIECE_SECONDS` each.

    The time from one piece to the asking for the next is what the first one took. Few large pieces
    are cheaper than many small ones; small ones keep more of the work when it is killed.

    Args:
        days: the days to work on.
        rows: how many rows each has, if that is known; by them the first piece is measured.
        clock: seconds.
    """
    size, start = FIRST_DAYS if rows is None else _days_of(days, rows), 0
    while start < len(days):
        begun, piece = clock(), days[start : start + size]
        yield piece
        took = max(clock() - begun, 0.001)
        size = max(1, min(MAX_GROWTH * size, int(len(piece) * PIECE_SECONDS / took)))
        start += len(piece)


def _days_of(days: Sequence[date], rows: Mapping[date, int]) -> int:
    """Return how many of the first days hold `FIRST_ROWS` together, and at least one."""
    sums = accumulate(rows.get(day, 0) for day in days)
    return max(1, sum(total <= FIRST_ROWS for total in sums))


def ranges_text(days: Sequence[date]) -> str:
    """Return days in words, such as `2026-01-01 to 2026-01-04, 2026-01-06`."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == timedelta(days=1):
            runs[-1][1:] = [day]
        else:
            runs.append([day])
    return ", ".join(" to ".join(str(day) for day in run) for run in runs)
