"""Step `ingest`: source rows into `events`, `quarantine` and the lookups' tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.errors import SourceDayMissing
from feature_store.quarantine import bad_rows, check_ceiling, good_rows, judge_rows
from feature_store.schema import DS, EVENTS, QUARANTINE, TILES, lookup_table
from feature_store.tiles import build_tiles
from jobs.expected import events_inputs, lookup_days, lookup_inputs, tiles_inputs
from jobs.steps import StepResult, outdated_days, write_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Lookup
    from feature_store.inputs import Inputs
    from jobs.context import Context


def ingest(context: Context, days: Sequence[date]) -> list[StepResult]:
    """Bring events, quarantine and lookups of `days` up to date with the source.

    There is no forcing it: events are what later days are made of, and to write them anew from the
    same source would only make those days stale.

    The quarantine is written, and its ceiling checked, before the events: a day with too many bad
    rows leaves the earlier events of that day untouched, and the reasons to be read.

    Raises:
        SourceDayMissing: the source has nothing for one of the days.
        TooManyBadRows: the share of bad rows of a day is above the definition's ceiling.
    """
    inputs = {day: events_inputs(context, day) for day in days}
    outdated = outdated_days(context, EVENTS, inputs, force=False)
    if outdated:
        results = _ingest_events(context, {day: inputs[day] for day in outdated})
    else:
        results = [write_outdated(context, EVENTS, inputs, lambda _: context.spark.range(0))]
    for lookup in context.definition.lookups:
        results.append(_ingest_lookup(context, lookup, days))
    return results


def build_day_tiles(context: Context, days: Sequence[date]) -> StepResult:
    """Bring the tiles of `days` up to date with their events."""
    with context.warehouse.held():
        inputs = {day: tiles_inputs(context, day) for day in days}

    def compute(outdated: Sequence[date]) -> DataFrame:
        return build_tiles(context.warehouse.read(EVENTS, outdated), context.definition)

    return write_outdated(context, TILES, inputs, compute)


def _ingest_events(context: Context, inputs: dict[date, Inputs]) -> list[StepResult]:
    days = sorted(inputs)
    definition = context.definition
    judged = judge_rows(definition.source.read(context.spark, days), definition).persist()
    try:
        bad, good = bad_rows(judged, definition), good_rows(judged, definition)
        quarantine = write_outdated(context, QUARANTINE, inputs, lambda _: bad, force=True)
        _check_bad_share(context, days, good)
        events = write_outdated(context, EVENTS, inputs, lambda _: good, force=True)
    finally:
        judged.unpersist()
    return [quarantine, events]


def _check_bad_share(context: Context, days: Sequence[date], good_df: DataFrame) -> None:
    good = {row[DS]: row["count"] for row in good_df.groupBy(DS).count().collect()}
    for day in days:
        commit = context.warehouse.commit(QUARANTINE, day)
        bad = commit.rows if commit else 0
        if bad or not good.get(day):
            _raise_for_day(context, day, bad, good.get(day, 0))


def _raise_for_day(context: Context, day: date, bad: int, good: int) -> None:
    if not good and not bad:
        raise SourceDayMissing(
            context.definition.name, day, "the day is empty", "Wait for the source, then run again"
        )
    reasons = context.warehouse.read(QUARANTINE, [day]).groupBy("reason").agg(F.count("*"))
    check_ceiling(
        context.definition.name,
        day,
        bad,
        bad + good,
        context.definition.max_bad_share,
        {row[0]: row[1] for row in reasons.collect()},
    )


def _ingest_lookup(context: Context, lookup: Lookup, days: Sequence[date]) -> StepResult:
    needed = lookup_days(context.definition, lookup, days)
    inputs = {day: lookup_inputs(context, lookup, day) for day in needed}

    def compute(outdated: Sequence[date]) -> DataFrame:
        return lookup.source.read(context.spark, outdated)

    return write_outdated(context, lookup_table(lookup.name), inputs, compute)
