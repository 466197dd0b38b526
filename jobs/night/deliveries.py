"""What a source delivered, day by day: a bad delivery takes no other day with it.

What an earlier delivery left of a day stays, and is used, until a good one replaces it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from feature_store.errors import NightscoreError, SourceCorrupt, SourceDayMissing, WriteFailed
from feature_store.tables.delta_log import explain
from jobs.night.outdated import outdated_days
from jobs.night.refused import accept, has_earlier, is_refused, refuse

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.tables.inputs import Inputs
    from jobs.context import Context

log = logging.getLogger(__name__)

Errors = dict[date, NightscoreError]
Written = tuple[Sequence[date], Errors]
"""The days written, and why the others may not be."""

_SPARK = (PySparkException, Py4JJavaError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """One table that is read from a source."""

    table: str
    digest: str
    """Of what its rows are by their stream."""
    inputs: Callable[[date], Inputs]
    """What a day would be made of now."""
    needed: Callable[[Mapping[date, Inputs], Sequence[date]], Sequence[date]]
    """Those of the outdated days that have to be made anew before they are used."""
    unread: Inputs
    """What a delivery is written down as, of which not even that can be told."""
    read: Callable[[Sequence[date]], DataFrame]
    """The rows of days as the write reads them."""
    write: Callable[[Mapping[date, Inputs]], Written]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ingested:
    """What became of the days of one table that is read from a source."""

    table: str
    written: tuple[date, ...]
    errors: Mapping[date, NightscoreError]
    """Why the delivery of a day cannot be used. What an earlier one left of it stays."""
    gone: tuple[date, ...]
    """Days that the source no longer has, of which an earlier delivery is there."""


def bring_up(
    context: Context, feed: Feed, days: Sequence[date], again: Collection[date]
) -> Ingested:
    """Write the days whose source changed, and keep account of deliveries that are no good.

    Args:
        context: the pipeline.
        feed: the table and where its rows come from.
        days: the days to bring up to date.
        again: those of them to read although the same delivery was refused before.

    Raises:
        WriteFailed: the source can be read, and yet nothing could be written.
    """
    inputs, gone, errors = _looked_at(context, feed, days)
    outdated = feed.needed(inputs, outdated_days(context, feed.table, inputs, force=False))

    def is_left(day: date) -> bool:
        return (
            day not in again
            and has_earlier(context, feed.table, day)
            and is_refused(context, feed.table, day, inputs[day])
        )

    left = {day for day in outdated if is_left(day)}
    to_read = {day: inputs[day] for day in outdated if day not in left}
    written, unusable = _in_halves(context, feed, to_read)
    errors |= unusable
    bad = {d: e for d, e in errors.items() if d in inputs or isinstance(e, SourceCorrupt)}
    refuse(context, feed.table, {day: inputs.get(day, feed.unread) for day in bad}, bad)
    good = {day: now for day, now in inputs.items() if day not in left and day not in errors}
    accept(context, feed.table, good)
    log.info(
        "step=%s pipeline=%s written=%d found=%d refused=%d gone=%d",
        feed.table, context.definition.name, len(written), len(inputs) - len(outdated),
        len(errors) + len(left), len(gone),
    )  # fmt: skip
    return Ingested(
        table=feed.table, written=tuple(sorted(written)), errors=errors, gone=tuple(gone)
    )


def _looked_at(
    context: Context, feed: Feed, days: Sequence[date]
) -> tuple[dict[date, Inputs], list[date], Errors]:
    """Return what each day would be made of now, the days that are gone, and what cannot be told.

    What was ingested before its source was archived stays good, here as in
    `jobs.backfill.freshness`.
    """
    inputs: dict[date, Inputs] = {}
    gone: list[date] = []
    errors: Errors = {}
    for day in days:
        try:
            inputs[day] = feed.inputs(day)
        except SourceDayMissing as error:
            if has_earlier(context, feed.table, day):
                gone.append(day)
            else:
                errors[day] = error
        except SourceCorrupt as error:
            errors[day] = _of_day(error, day)
    if gone:
        _tell_of_outgrown(context, feed, gone)
    return inputs, gone, errors


def _tell_of_outgrown(context: Context, feed: Feed, gone: Sequence[date]) -> None:
    commits = context.warehouse.commits(feed.table)
    outgrown = [d for d in gone if commits[feed.table, d, ""].inputs.definition != feed.digest]
    if outgrown:
        log.warning(
            "table=%s %d days from %s on are archived at the source and stay as an older "
            "definition made them: what it gained since is null there",
            feed.table, len(outgrown), outgrown[0],
        )  # fmt: skip


def _in_halves(context: Context, feed: Feed, inputs: Mapping[date, Inputs]) -> Written:
    """Write days at once; where the source is at fault, without the day it names, or in halves."""
    days = sorted(inputs)
    if not days:
        return [], {}
    fault: NightscoreError | None
    try:
        return feed.write(inputs)
    except (SourceCorrupt, SourceDayMissing) as error:
        fault = error
    except (WriteFailed, *_SPARK):
        fault = _unreadable(context, feed, days)
        if fault is None:
            raise
    if len(days) == 1:
        return [], {days[0]: _of_day(fault, days[0])}
    named = fault.ds if isinstance(fault, SourceCorrupt | SourceDayMissing) else None
    if named is not None and named in inputs:
        others = [day for day in days if day != named]
        written, errors = _in_halves(context, feed, {day: inputs[day] for day in others})
        return written, {**errors, named: fault}
    written, errors = [], {}
    for half in (days[: len(days) // 2], days[len(days) // 2 :]):
        some, bad = _in_halves(context, feed, {day: inputs[day] for day in half})
        written += some
        errors |= bad
    return written, errors


def _of_day(fault: NightscoreError, day: date) -> NightscoreError:
    """Return the error, which knows the day that it is about."""
    if isinstance(fault, SourceCorrupt) and fault.ds is None:
        fault.ds = day
    return fault


def _unreadable(context: Context, feed: Feed, days: Sequence[date]) -> NightscoreError | None:
    """Return why the rows of days cannot even be read; None if they can, and the fault is ours."""
    try:
        feed.read(days).write.format("noop").mode("overwrite").save()
    except (SourceCorrupt, SourceDayMissing) as error:
        return error
    except _SPARK as error:
        first, last = days[0], days[-1]
        return SourceCorrupt(
            f"{context.definition.name}: the source's rows for {feed.table} of ds={first} to "
            f"{last} cannot be read: {explain(error)[0]}. Have them delivered again and run again"
        )
    return None
