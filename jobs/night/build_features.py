"""Step `features`: from events, tiles and lookups to one row per thing to score."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.features.features import build_features
from feature_store.schema import EVENTS, FEATURES, TILES, lookup_table
from jobs.night.expected import features_inputs, know, know_what_is_read, lookup_days
from jobs.night.outdated import StepResult, write_outdated

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context


def build_day_features(
    context: Context, days: Sequence[date], *, force: bool = False
) -> StepResult:
    """Bring the features of `days` up to date, many days at the cost of one pass over each table.

    Raises:
        PartitionNotReady: a day of events, of the history window or of a lookup is missing.
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
    window = sorted({d for day in days for d in definition.window_days(day)})
    tiles = warehouse.read(TILES, window) if window else None
    lookups = {
        lookup.name: warehouse.read(
            lookup_table(lookup.name), lookup_days(definition, lookup, days)
        )
        for lookup in definition.lookups
    }
    events = warehouse.read(EVENTS, days)
    return build_features(events, tiles, lookups, definition, days)
