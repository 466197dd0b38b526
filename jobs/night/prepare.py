"""Events, tiles and features of a range of days, in bulk: for training, backfill and `prepare`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from feature_store.schema import EVENTS, FEATURES
from jobs.night.build_features import build_day_features
from jobs.night.build_tiles import build_day_tiles
from jobs.night.ingest import ingest
from jobs.night.side_days import side_days

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.night.outdated import StepResult

log = logging.getLogger(__name__)

CHUNK_DAYS = 92
"""Days per commit: what a kill can cost, against the fixed cost of a commit (about a second)."""

OnProgress = Callable[[str], None]
"""Called with a line for a person after each piece of work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What preparing a range came to."""

    days: tuple[date, ...]
    """The days asked for: their features are up to date."""
    written: int
    """Days of features written now; the others were found up to date."""
    rows: int
    """Rows of features over all days asked for."""
    seconds: float


def prepare(
    context: Context, days: Sequence[date], on_progress: OnProgress, *, force: bool = False
) -> Prepared:
    """Bring the features of `days` up to date, and all that they are made of.

    The history windows before the first day are ingested too. Work that was done by an earlier
    call, even one that was killed, is found and not done again. `force` builds the features again;
    never the events and tiles, which days outside the range were made of.

    Raises:
        UsageError: no day is given.
        SourceDayMissing: the source has nothing for one of the days.
        TooManyBadRows: the share of bad rows of a day is above the definition's ceiling.
    """
    wanted, started = sorted(set(days)), time.monotonic()
    if not wanted:
        raise UsageError("days: at least one day is needed")
    needed = days_to_ingest(context, wanted)
    log.info(
        "step=prepare pipeline=%s days=%d first=%s last=%s with_history=%d",
        context.definition.name, len(wanted), wanted[0], wanted[-1], len(needed),
    )  # fmt: skip
    for chunk in chunks(needed):
        _ingest(context, chunk, on_progress)
    results = [_features(context, chunk, on_progress, force=force) for chunk in chunks(wanted)]
    prepared = Prepared(
        days=tuple(wanted),
        written=sum(len(result.written) for result in results),
        rows=sum(result.rows for result in results),
        seconds=round(time.monotonic() - started, 3),
    )
    log.info(
        "step=prepare pipeline=%s written=%d rows=%d seconds=%.1f",
        context.definition.name, prepared.written, prepared.rows, prepared.seconds,
    )  # fmt: skip
    return prepared


def days_to_ingest(context: Context, days: Sequence[date]) -> list[date]:
    """Return `days` and every day that a history window of them reads, oldest first."""
    windows = (d for day in days for d in context.definition.window_days(day))
    return sorted({*days, *windows})


def is_made_of(context: Context, day: date, part: date) -> bool:
    """Whether the features of `day` read anything of the source's day `part`."""
    definition = context.definition
    lookups = (d for lk in definition.lookups for d in side_days(context, lk, [day])[day].due)
    return part in {*days_to_ingest(context, [day]), *lookups}


def chunks(days: Sequence[date], size: int = CHUNK_DAYS) -> Iterator[Sequence[date]]:
    """Yield the days in pieces of at most `size`."""
    for start in range(0, len(days), size):
        yield days[start : start + size]


def _ingest(context: Context, days: Sequence[date], on_progress: OnProgress) -> None:
    started = time.monotonic()
    results = ingest(context, days)
    # `ingest` answers for the events it wrote only; what it did not write, it found.
    written = sum(len(result.written) for result in results if result.step == EVENTS)
    if context.definition.histories:
        build_day_tiles(context, days)
    on_progress(_line("events", days, written, time.monotonic() - started))


def _features(
    context: Context, days: Sequence[date], on_progress: OnProgress, *, force: bool
) -> StepResult:
    started = time.monotonic()
    result = build_day_features(context, days, force=force)
    seconds = time.monotonic() - started
    on_progress(f"{_line(FEATURES, days, len(result.written), seconds)}, {result.rows:,} rows")
    return result


def _line(what: str, days: Sequence[date], written: int, seconds: float) -> str:
    found = len(days) - written
    return f"{what} {days[0]} to {days[-1]}: {written} days written, {found} found, {seconds:.1f} s"
