"""The labels of days as the tables tell them, whether the row tells its own or a stream does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import reduce
from typing import TYPE_CHECKING

from feature_store.definition import Label, Outcome
from feature_store.errors import PartitionNotReady
from feature_store.events.versions import as_of
from feature_store.features.features import known_in_time
from feature_store.features.labels import only_given, row_labels, with_outcome
from feature_store.schema import DS, FEATURES, TILES, stream_table
from jobs.night.build_tiles import read_tiles, tiled_days
from jobs.night.expected import pins

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from feature_store.tables.inputs import Pins
    from jobs.context import Context


def labelled_rows(
    context: Context,
    days: Sequence[date],
    as_known: Column | None = None,
    *,
    labels: Sequence[str] = (),
) -> DataFrame:
    """Return ds, keys, each label (0.0, 1.0 or null) and when it became known, of rows of days.

    Args:
        context: the pipeline.
        days: the days; of an outcome, ones that are told whole: see `require_told`.
        as_known: an instant: a label that its row tells is the one that was known then. Where it is
            null, or not given, it is the last that is known. An outcome is the one of the time at
            which it was settled.
        labels: the labels wanted; all of them where none is named.

    Raises:
        PartitionNotReady: an outcome is looked for on days that are not there.
    """
    definition = context.definition
    names = labels or definition.label_names
    wanted = _with_given(definition, names)
    own = [label for label in wanted if isinstance(label, Label)]
    outcomes = [label for label in wanted if isinstance(label, Outcome)]
    frames = []
    if outcomes:
        frames.append(_outcomes(context, days, outcomes))
    if own:
        events = context.warehouse.read(context.events, days)
        known = events if as_known is None else as_of(events, as_known)
        frames.append(row_labels(known, definition, own))
    keys = [DS, *definition.keys]
    joined = reduce(lambda left, right: left.join(right, keys, "left"), frames)
    return only_given(joined, definition, names)


def _with_given(definition: Definition, names: Iterable[str]) -> list[Label | Outcome]:
    """Return labels and what they are given, each once."""
    each = (definition.with_given(definition.label_named(name)) for name in names)
    return list({label.name: label for labels in each for label in labels}.values())


def _outcomes(context: Context, days: Sequence[date], outcomes: Sequence[Outcome]) -> DataFrame:
    """Return ds, keys, each outcome and when it became known, of the rows to score of days."""
    definition, warehouse = context.definition, context.warehouse
    for outcome in outcomes:
        require_told(context, days, outcome)
    if definition.stream is None:
        rows = warehouse.read(FEATURES, days)
    else:
        events = warehouse.read(context.events, days)
        rows = known_in_time(events, definition.stream, definition.cutoff_hours)
    asked_by = (column for outcome in outcomes for column in outcome.asked_by)
    rows = rows.select(*dict.fromkeys((DS, *definition.keys, *asked_by)))
    for outcome in outcomes:
        looked = looked_for_on(context, outcome, days)
        told = read_tiles(context, outcome.stream, looked, [definition.tiling(outcome)])
        rows = with_outcome(rows, told, definition, outcome, days)
    return rows


def label_pins(context: Context, days: Sequence[date]) -> dict[str, Pins]:
    """Return what the labels of days are read of, by table.

    Of outcomes, what was known by the time that the last of them is settled: what is told later
    changes none.

    Raises:
        PartitionNotReady: a day of it is missing.
    """
    definition = context.definition
    found = {}
    if any(isinstance(label, Label) for label in definition.labels):
        found[context.events] = pins(context, context.events, days)
    for outcome in definition.outcomes:
        require_told(context, days, outcome)
    for stream in dict.fromkeys(outcome.stream.name for outcome in definition.outcomes):
        told = [outcome for outcome in definition.outcomes if outcome.stream.name == stream]
        looked = {day for outcome in told for day in looked_for_on(context, outcome, days)}
        settled = max(days) + timedelta(days=max(map(definition.settled_days, told)))
        tilings = [definition.tiling(outcome).digest for outcome in told]
        table = stream_table(stream, TILES)
        found[table] = pins(context, table, sorted(looked), until=settled, of=tilings)
    return found


def told_labels(context: Context, day: date) -> tuple[str, ...]:
    """Return the labels of a day of which every day is there that they are looked for on."""
    definition = context.definition

    def is_told(label: Label | Outcome) -> bool:
        parts = definition.with_given(label)
        return not any(_untold(context, [day], p) for p in parts if isinstance(p, Outcome))

    return tuple(label.name for label in definition.labels if is_told(label))


def require_told(context: Context, days: Sequence[date], outcome: Outcome) -> None:
    """Do nothing if every day is there that an outcome of `days` is looked for on.

    Raises:
        PartitionNotReady: one is not; says which, and which days can be had without it.
    """
    missing = _untold(context, days, outcome)
    if not missing:
        return
    told = [day for day in days if not _untold(context, [day], outcome)]
    last = f"The last day whose outcome is told is {max(told)}" if told else "None of them is told"
    step = (
        f"Label {outcome.name!r} looks for the outcome of a day on the {outcome.within_days} days "
        f"after its cut-off. {last}: take days up to then, or wait for the stream "
        f"{outcome.stream.name}"
    )
    raise PartitionNotReady(stream_table(outcome.stream.name, TILES), missing, step)


def _untold(context: Context, days: Sequence[date], outcome: Outcome) -> list[date]:
    """Return the days that an outcome of `days` is looked for on and that are not there."""
    there = tiled_days(context, context.definition.tiling(outcome))
    looked = looked_for_on(context, outcome, days)
    return [day for day in looked if day not in there]


def looked_for_on(context: Context, outcome: Outcome, days: Iterable[date]) -> list[date]:
    """Return the days of its stream that an outcome of `days` is looked for on, in order."""
    return sorted({d for day in days for d in context.definition.outcome_days(outcome, day)})
