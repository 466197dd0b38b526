"""Brings the outcomes of days up to date: the days of streams that come after them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import SourceDayMissing
from feature_store.schema import EVENTS, stream_table
from jobs.night.build_tiles import build_day_tiles
from jobs.night.ingest import ingest_events
from jobs.night.reach import paced
from jobs.night.refused import has_earlier
from jobs.training.label_rows import require_told

if TYPE_CHECKING:
    from feature_store.definition import Outcome
    from jobs.context import Context


def bring_outcomes(
    context: Context, days: Sequence[date], on_progress: Callable[[str], None]
) -> None:
    """Take in the streams that tell what came of `days`, as far as their days are there.

    Nothing is to be done where rows tell their own label.

    Raises:
        PartitionNotReady: an outcome is looked for on days that are not there.
        SourceCorrupt, TooManyBadRows: nothing good was ever delivered of one of them.
    """
    for outcome in context.definition.outcomes:
        _bring(context, outcome, days, on_progress)
        require_told(context, days, outcome)


def _bring(
    context: Context, outcome: Outcome, days: Sequence[date], on_progress: Callable[[str], None]
) -> None:
    looked = {d for day in days for d in context.definition.outcome_days(outcome, day)}
    table = stream_table(outcome.stream.name, EVENTS)
    for chunk in paced(sorted(looked)):
        started = time.monotonic()
        found = ingest_events(context, outcome.stream, chunk)
        there = [day for day in chunk if has_earlier(context, table, day)]
        for day, error in sorted(found.errors.items()):
            if day not in there and not isinstance(error, SourceDayMissing):
                raise error
        build_day_tiles(context, outcome.stream, there)
        on_progress(
            f"{table} {chunk[0]} to {chunk[-1]}: {len(found.written)} days written, for label "
            f"{outcome.name}, {time.monotonic() - started:.1f} s"
        )
