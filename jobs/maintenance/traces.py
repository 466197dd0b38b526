"""Where an entity (a user, say) left rows: in every table of a pipeline and of its streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition.entity import columns_of_entity
from feature_store.definition.expressions import nearest
from feature_store.errors import UsageError
from feature_store.features.traces import (
    Columns,
    in_events,
    in_features,
    in_quarantine,
    in_scores,
    in_tiles,
    in_training_set,
)
from feature_store.schema import (
    DS,
    EVENTS,
    FEATURES,
    QUARANTINE,
    RELEASED,
    SCORES,
    TILES,
    TRAINING_SETS,
    stream_table,
)
from jobs.maintenance.models import set_ids

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from jobs.context import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """The rows of one table that hold an entity."""

    table: str
    rows: int
    days: int
    """Days of which there are such rows."""
    first: date | None
    """The first of these days; None if there is no row."""
    last: date | None


def entity_columns(definition: Definition, column: str) -> Columns:
    """Return the columns that hold the same entity as a column; see `columns_of_entity`.

    Raises:
        UsageError: the pipeline knows no such column.
    """
    try:
        return columns_of_entity(definition, column)
    except KeyError:
        known = {name for stream in definition.all_streams for name in stream.types}
        hint = nearest(column, known)
        raise UsageError(
            f"{column!r} is no column of what {definition.name} reads{hint}. There are "
            f"{', '.join(sorted(known))}"
        ) from None


def traces(context: Context, columns: Columns, value: str) -> Iterator[Trace]:
    """Yield what each table holds of the entity whose text is `value`, those of streams first."""
    for table, condition in _tables(context, columns, value):
        if context.warehouse.version(table) is None:
            continue
        for place in context.warehouse.locations(table):
            # Also in a table from before a column changed its type: it is there until it goes.
            frame = context.spark.read.format("delta").load(place)
            yield _trace(table, frame.where(condition(frame)))


def _tables(
    context: Context, columns: Columns, value: str
) -> Iterator[tuple[str, Callable[[DataFrame], Column]]]:
    definition = context.definition
    for stream in definition.all_streams:
        own, tilings = columns.get(stream.name, frozenset()), definition.tilings(stream)
        events = partial(in_events, columns=own, value=value)
        tiles = partial(in_tiles, tilings=tilings, columns=columns, value=value)
        yield stream_table(stream.name, EVENTS), events
        for table in (QUARANTINE, RELEASED):
            as_delivered = partial(in_quarantine, columns=own, value=value)
            yield stream_table(stream.name, table), as_delivered
        yield stream_table(stream.name, TILES), tiles
    yield FEATURES, lambda rows: in_features(rows, definition, columns, value)
    yield SCORES, lambda rows: in_scores(rows, definition, columns, value)
    for set_id in set_ids(context):
        yield (
            f"{TRAINING_SETS}/{set_id}",
            lambda rows: in_training_set(rows, definition, columns, value),
        )


def _trace(table: str, rows_df: DataFrame) -> Trace:
    found = rows_df.agg(F.count(F.lit(1)), F.count_distinct(DS), F.min(DS), F.max(DS)).collect()[0]
    return Trace(table=table, rows=found[0], days=found[1], first=found[2], last=found[3])
