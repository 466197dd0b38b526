"""The labels of days as the tables tell them, whether the row tells its own or a stream does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import PartitionNotReady
from feature_store.events.versions import as_of
from feature_store.features.features import known_in_time
from feature_store.features.labels import outcome_labels, row_labels
from feature_store.schema import DS, FEATURES, TILES, stream_table
from jobs.night.build_tiles import read_tiles, tiled_days
from jobs.night.expected import pins

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.tables.inputs import Pins
    from jobs.context import Context


def labelled_rows(
    context: Context, days: Sequence[date], as_known: Column | None = None
) -> DataFrame:
    """Return ds, keys, the label (0.0, 1.0 or null) and when it became known, of rows of days.

    Args:
        context: the pipeline.
        days: the days; of an outcome, ones that are told whole: see `require_told`.
        as_known: an instant: a label that its row tells is the one that was known then. Where it is
            null, or not given, it is the last that is known. An outcome is the one of the time at
            which it was settled.

    Raises:
        PartitionNotReady: an outcome is looked for on days that are not there.
    """
    definition, warehouse, outcome = (
        context.definition,
        context.warehouse,
        context.definition.outcome,
    )
    if outcome is None:
        events = warehouse.read(context.events, days)
        return row_labels(events if as_known is None else as_of(events, as_known), definition)
    require_told(context, days)
    if definition.stream is None:
        rows = warehouse.read(FEATURES, days)
    else:
        events = warehouse.read(context.events, days)
        rows = known_in_time(events, definition.stream, definition.cutoff_hours)
    asked = dict.fromkeys((DS, *definition.keys, *outcome.asked_by))
    looked = _looked_for_on(context, days)
    told = read_tiles(context, outcome.stream, looked, [definition.tiling(outcome)])
    return outcome_labels(rows.select(*asked), told, definition, outcome, days)


def label_pins(context: Context, days: Sequence[date]) -> dict[str, Pins]:
    """Return what the labels of days are read of, by table.

    Of an outcome, what was known by the time that the last of them is settled: what is told later
    changes none.

    Raises:
        PartitionNotReady: a day of it is missing.
    """
    definition, outcome = context.definition, context.definition.outcome
    if outcome is None:
        return {context.events: pins(context, context.events, days)}
    require_told(context, days)
    table, digest = stream_table(outcome.stream.name, TILES), definition.tiling(outcome).digest
    settled = max(days) + timedelta(days=definition.label_days)
    looked = _looked_for_on(context, days)
    return {table: pins(context, table, looked, until=settled, of=[digest])}


def is_told(context: Context, day: date) -> bool:
    """Whether every day is there that an outcome of a day is looked for on."""
    return not _untold(context, [day])


def require_told(context: Context, days: Sequence[date]) -> None:
    """Do nothing if every day is there that outcomes of `days` are looked for on.

    Raises:
        PartitionNotReady: one is not; says which, and which days can be had without it.
    """
    outcome, missing = context.definition.outcome, _untold(context, days)
    if not outcome or not missing:
        return
    told = [day for day in days if is_told(context, day)]
    last = f"The last day whose outcome is told is {max(told)}" if told else "None of them is told"
    step = (
        f"Label {outcome.name!r} looks for the outcome of a day on the {outcome.within_days} days "
        f"after its cut-off. {last}: take days up to then, or wait for the stream "
        f"{outcome.stream.name}"
    )
    raise PartitionNotReady(stream_table(outcome.stream.name, TILES), missing, step)


def _untold(context: Context, days: Sequence[date]) -> list[date]:
    """Return the days that outcomes of `days` are looked for on and that are not there."""
    outcome = context.definition.outcome
    if outcome is None:
        return []
    there = tiled_days(context, context.definition.tiling(outcome))
    return [day for day in _looked_for_on(context, days) if day not in there]


def _looked_for_on(context: Context, days: Iterable[date]) -> list[date]:
    return sorted({d for day in days for d in context.definition.outcome_days(day)})
