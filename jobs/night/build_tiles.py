"""Step `tiles`: what each day of events adds to the history windows of later days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.tiles import build_tiles
from feature_store.schema import EVENTS, TILES
from feature_store.tables.content import ALL
from jobs.night.expected import HISTORY, know, tiles_inputs
from jobs.night.outdated import StepResult, write_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.tables.inputs import Inputs
    from jobs.context import Context


def build_day_tiles(context: Context, days: Sequence[date]) -> StepResult:
    """Bring the tiles of `days` up to date with their events.

    Of a day whose events are as they were, only the histories that are new or changed are computed:
    the tiles of the others are taken over.
    """
    with context.warehouse.held():
        know(context, EVENTS, days, ALL)
        inputs = {day: tiles_inputs(context, day) for day in days}

    def compute(outdated: Sequence[date]) -> DataFrame:
        return _tiles_frame(context, {day: inputs[day] for day in outdated})

    return write_outdated(context, TILES, inputs, compute)


def _tiles_frame(context: Context, inputs: Mapping[date, Inputs]) -> DataFrame:
    """Return the tiles of days, computed or taken over, from the tables as they are now."""
    definition = context.definition
    events_of = context.warehouse.commits(EVENTS)
    alike: dict[tuple[frozenset[str], int], list[date]] = defaultdict(list)
    for day, now in inputs.items():
        # Days before and after a column changed its type are not read together.
        alike[_kept(context, day, now), events_of[EVENTS, day, ""].generation].append(day)
    frames = []
    for (kept, _), days in alike.items():
        made = [history for history in definition.histories if history.name not in kept]
        if made:
            events = context.warehouse.read(EVENTS, days)
            frames.append(build_tiles(events, definition, made))
        if kept:
            stored = context.warehouse.read(TILES, days)
            frames.append(stored.where(F.col("history").isin(sorted(kept))))
    if not frames:  # no history is left: the days are written empty
        return context.warehouse.read(TILES, list(inputs)).where("false")
    return reduce(lambda left, right: left.unionByName(right), frames)


def _kept(context: Context, day: date, now: Inputs) -> frozenset[str]:
    """Return the histories whose tiles of a day are what they would be now."""
    commit = context.warehouse.commit(TILES, day)
    if commit is None or commit.foreign:
        return frozenset()
    stored = commit.inputs
    if (stored.code, stored.pins) != (now.code, now.pins):
        return frozenset()
    same = (name for name, part in now.parts.items() if stored.parts.get(name) == part)
    return frozenset(name.removeprefix(HISTORY) for name in same)
