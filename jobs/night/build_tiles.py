"""Step `tiles`: what each day of events adds to the history windows of later days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.tiles import build_tiles
from feature_store.schema import EVENTS, TILES, stream_table
from feature_store.tables.content import ALL
from jobs.night.expected import know, tiles_inputs
from jobs.night.outdated import StepResult, write_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Stream, Tiling
    from feature_store.tables.commits import DayCommit
    from feature_store.tables.inputs import Inputs
    from jobs.context import Context


def build_day_tiles(context: Context, stream: Stream, days: Sequence[date]) -> StepResult:
    """Bring the tiles of `days` of a stream up to date with its events, as far as they are needed.

    Of a day whose events are as they were, only the histories that are new or changed are computed:
    the tiles of the others, whichever pipeline needs them, are taken over.
    """
    with context.warehouse.held():
        know(context, stream_table(stream.name, EVENTS), days, ALL)
        needed = context.definition.tilings(stream)
        inputs = {day: tiles_inputs(context, stream, day, needed) for day in days}

    def compute(outdated: Sequence[date]) -> DataFrame:
        return _tiles_frame(context, stream, {day: inputs[day] for day in outdated})

    return write_outdated(context, stream_table(stream.name, TILES), inputs, compute)


def tiled_days(context: Context, tiling: Tiling) -> set[date]:
    """Return the days of a stream that have tiles made as a tiling says."""
    commits = context.warehouse.commits(stream_table(tiling.stream.name, TILES))
    return {day for (_, day, _), c in commits.items() if tiling.digest in c.inputs.parts.values()}


def read_tiles(
    context: Context, stream: Stream, days: Sequence[date], tilings: Iterable[Tiling]
) -> DataFrame:
    """Return the tiles of days of a stream that are made as one of the tilings says."""
    stored = context.warehouse.read(stream_table(stream.name, TILES), days)
    return stored.where(F.col("history").isin([tiling.digest for tiling in tilings]))


def _tiles_frame(context: Context, stream: Stream, inputs: Mapping[date, Inputs]) -> DataFrame:
    """Return the tiles of days, computed or taken over, from the tables as they are now."""
    events, tiles = (stream_table(stream.name, table) for table in (EVENTS, TILES))
    events_of = context.warehouse.commits(events)
    alike: dict[tuple[frozenset[str], int], list[date]] = defaultdict(list)
    for day, now in inputs.items():
        kept = _kept(context.warehouse.commit(tiles, day), now)
        # Days before and after a column changed its type are not read together.
        alike[kept, events_of[events, day, ""].generation].append(day)
    frames = []
    for (kept, _), days in alike.items():
        made = [t for t in context.definition.tilings(stream) if t.digest not in kept]
        if made:
            frames.append(build_tiles(context.warehouse.read(events, days), made))
        if kept:
            stored = context.warehouse.read(tiles, days)
            frames.append(stored.where(F.col("history").isin(sorted(kept))))
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), frames)


def _kept(commit: DayCommit | None, now: Inputs) -> frozenset[str]:
    """Return the histories whose tiles of a day are what they would be now."""
    if commit is None or commit.foreign:
        return frozenset()
    stored = commit.inputs
    if (stored.code, stored.pins) != (now.code, now.pins):
        return frozenset()
    return frozenset({*stored.parts.values()} & {*now.parts.values()})
