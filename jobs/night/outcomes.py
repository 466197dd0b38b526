"""Brings streams up to date that tell what came of days: those after them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import NightscoreError
from feature_store.schema import EVENTS, stream_table
from jobs.night.build_tiles import build_day_tiles
from jobs.night.ingest import ingest_events
from jobs.night.reach import paced
from jobs.night.refused import has_earlier

if TYPE_CHECKING:
    from feature_store.definition import Outcome, Stream
    from jobs.context import Context

log = logging.getLogger(__name__)


def told_on(
    context: Context, days_of: Callable[[Outcome], Iterable[date]]
) -> list[tuple[Stream, list[date]]]:
    """Return each stream that tells outcomes with the days that are wanted of any of them."""
    streams: dict[str, Stream] = {}
    days: dict[str, set[date]] = {}
    for outcome in context.definition.outcomes:
        name = streams.setdefault(outcome.stream.name, outcome.stream).name
        days.setdefault(name, set()).update(days_of(outcome))
    return [(stream, sorted(days[name])) for name, stream in streams.items()]


def take_in(
    context: Context, stream: Stream, days: Iterable[date], on_progress: Callable[[str], None]
) -> Mapping[date, NightscoreError]:
    """Take in days of a stream that tells outcomes, and count them.

    Returns:
        Why a day of which nothing good was ever delivered is not there.
    """
    table, missing = stream_table(stream.name, EVENTS), dict[date, NightscoreError]()
    told = (one.name for one in context.definition.outcomes if one.stream.name == stream.name)
    labels = ", ".join(told)
    for chunk in paced(list(filter(stream.has, days))):
        started = time.monotonic()
        found = ingest_events(context, stream, chunk)
        there = [day for day in chunk if has_earlier(context, table, day)]
        missing |= {day: error for day, error in found.errors.items() if day not in there}
        build_day_tiles(context, stream, there)
        on_progress(
            f"{table} {chunk[0]} to {chunk[-1]}: {len(found.written)} days written, for label "
            f"{labels}, {time.monotonic() - started:.1f} s"
        )
    return missing


def take_in_before(context: Context, day: date, on_progress: Callable[[str], None]) -> None:
    """Take in what was told of outcomes before the night of a day, as far as it is there.

    So is known, night by night, how good the scores of the nights before it turned out to be. What
    is not there stops no night: nothing that is scored is made of it.
    """

    def before(outcome: Outcome) -> Iterable[date]:
        length = context.definition.settled_days(outcome)
        return (day - timedelta(days=back) for back in range(1, length + 1))

    for stream, days in told_on(context, before):
        try:
            missing = take_in(context, stream, days, on_progress)
        except NightscoreError as error:  # the scores are out: they are no worse for it
            missing = {day: error}
        for without, why in sorted(missing.items()):
            log.warning(
                "step=publish pipeline=%s: what tells its labels, stream %s, ds=%s: %s",
                context.definition.name, stream.name, without, why,
            )  # fmt: skip
