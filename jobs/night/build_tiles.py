"""Step `tiles`: what each day of events adds to the history windows of later days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.features.tiles import build_tiles
from feature_store.schema import EVENTS, TILES
from jobs.night.expected import tiles_inputs
from jobs.night.outdated import StepResult, write_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context


def build_day_tiles(context: Context, days: Sequence[date]) -> StepResult:
    """Bring the tiles of `days` up to date with their events."""
    with context.warehouse.held():
        inputs = {day: tiles_inputs(context, day) for day in days}

    def compute(outdated: Sequence[date]) -> DataFrame:
        return build_tiles(context.warehouse.read(EVENTS, outdated), context.definition)

    return write_outdated(context, TILES, inputs, compute)
