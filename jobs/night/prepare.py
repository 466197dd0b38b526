"""Events, tiles and features of a range of days, in bulk: for training and `prepare`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from jobs.night.steps import PREPARATION, carry_out
from jobs.night.stopwatch import Stopwatch
from jobs.night.work import Asked, Work

if TYPE_CHECKING:
    from jobs.context import Context

log = logging.getLogger(__name__)

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
    notes: tuple[str, ...] = ()
    """What to know of what they were made of, such as a redelivery that was refused."""


def prepare(
    context: Context,
    days: Sequence[date],
    on_progress: OnProgress,
    *,
    force: bool = False,
    before_features: Callable[[], None] | None = None,
) -> Prepared:
    """Bring the features of `days` up to date, and all that they are made of.

    The history windows before the first day are ingested too. Work that was done by an earlier
    call, even one that was killed, is found and not done again. `force` builds the features again;
    never the events and tiles, which days outside the range were made of.

    Args:
        context: the pipeline.
        days: the days whose features are wanted.
        on_progress: called with a line for a person as work is done.
        force: whether to build features that are up to date.
        before_features: called when the events are there; it may raise to end the work early.
            Then the first day that cannot be made ends it too, before any feature is built.

    Raises:
        UsageError: no day is given.
        SourceDayMissing: the source has nothing for one of the days, and never had.
        SourceCorrupt: what it has cannot be read, and nothing that it had before is there.
        TooManyBadRows: the share of bad rows of a day is above the definition's ceiling.
        NothingKnown: no row of a day was known before its cut-off.
    """
    wanted, started = sorted(set(days)), time.monotonic()
    if not wanted:
        raise UsageError("days: at least one day is needed")
    log.info(
        "step=prepare pipeline=%s days=%d first=%s last=%s",
        context.definition.name, len(wanted), wanted[0], wanted[-1],
    )  # fmt: skip
    work = Work(
        context=context, asked=Asked(force=force, fetches_history=True), left=wanted,
        on_progress=on_progress,
    )  # fmt: skip
    watch = Stopwatch(lambda *_: None)
    ingest, features = PREPARATION
    carry_out(work, [ingest], watch)
    if before_features is not None:
        _raise_first(work)
        before_features()
    carry_out(work, [features], watch)
    _raise_first(work)
    prepared = Prepared(
        days=tuple(wanted),
        written=work.days_built,
        rows=work.rows_of_features,
        seconds=round(time.monotonic() - started, 3),
        notes=tuple(dict.fromkeys(note for day in wanted for note in work.notes(day))),
    )
    log.info(
        "step=prepare pipeline=%s written=%d rows=%d seconds=%.1f",
        context.definition.name, prepared.written, prepared.rows, prepared.seconds,
    )  # fmt: skip
    return prepared


def _raise_first(work: Work) -> None:
    """Raise why the first day that failed did, if one did; the others are as far as they can be."""
    for _, ended in sorted(work.ended.items()):
        if ended.error is not None:
            raise ended.error
