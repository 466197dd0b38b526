"""Step `features`: from events, tiles and lookups to one row per thing to score."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from feature_store.events.quarantine import no_rows
from feature_store.features.features import build_features
from feature_store.features.tiles import TILE_SCHEMA
from feature_store.schema import EVENTS, FEATURES, stream_table
from jobs.night.build_tiles import read_tiles
from jobs.night.expected import features_inputs, know, know_what_is_read
from jobs.night.outdated import StepResult, write_outdated
from jobs.night.side_days import looked_up_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Stream
    from jobs.context import Context


def build_day_features(
    context: Context, days: Sequence[date], *, force: bool = False
) -> StepResult:
    """Bring the features of `days` up to date, many days at the cost of one pass over each table.

    Raises:
        PartitionNotReady: a day of events, of a history's window or to look up is missing.
    """
    with context.warehouse.held():
        know_what_is_read(context, days)
        inputs = {day: features_inputs(context, day) for day in days}
    result = write_outdated(
        context, FEATURES, inputs, lambda outdated: features_frame(context, outdated), force=force
    )
    know(context, FEATURES, days)
    return result


def features_frame(context: Context, days: Sequence[date]) -> DataFrame:
    """Return the features of `days`, computed from the tables as they are now."""
    definition, warehouse = context.definition, context.warehouse
    tiles = tiles_before(context, days)
    lookups: dict[str, DataFrame] = {}
    snapshots: dict[str, list[date]] = {}
    for stream in definition.streams:
        read = sorted(looked_up_days(context, stream, days).read)
        for lookup in definition.lookups_in(stream):
            lookups[lookup.name] = _events_there(context, stream, read)
            if lookup.is_snapshot:
                snapshots[lookup.name] = read
    events = None if definition.stream is None else warehouse.read(context.events, days)
    return build_features(events, tiles, lookups, definition, days, snapshots)


def tiles_before(context: Context, days: Sequence[date]) -> DataFrame | None:
    """Return the tiles of every stream that the windows of `days` read; None if there are none.

    Where they tell what is scored, there are always some, if only of nothing.
    """
    definition, frames = context.definition, []
    for stream in definition.streams:
        window = sorted({d for day in days for d in definition.window_days(day, stream)})
        if window:
            frames.append(read_tiles(context, stream, window, definition.feature_tilings(stream)))
    if not frames and definition.stream is None:
        return context.spark.createDataFrame([], TILE_SCHEMA)
    if not frames:
        return None
    # Tiles of a stream of which nothing but sums is told hold no values.
    return reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), frames)


def _events_there(context: Context, stream: Stream, days: Sequence[date]) -> DataFrame:
    """Return what is there of the events of days that are looked up."""
    table = stream_table(stream.name, EVENTS)
    commits = context.warehouse.commits(table)
    there = [day for day in days if (table, day, "") in commits]
    if there:
        return context.warehouse.read(table, there)
    return no_rows(context.spark, stream)
