"""Where rows hold an entity: a condition for each kind of table."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Categorical, Cross, MultiValued, Numeric, taken
from feature_store.definition import Sequence as SequenceOf
from feature_store.definition.entity import ROW
from feature_store.events.quarantine import ROW as ROW_AS_JSON
from feature_store.events.versions import EARLIER
from feature_store.features.encode import list_columns, split_values
from feature_store.features.tiles import SEPARATOR
from feature_store.schema import KEY_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Feature, Tiling

Columns = Mapping[str, Collection[str]]
"""Which columns hold the entity, by stream; see `columns_of_entity`."""


def in_events(events_df: DataFrame, columns: Collection[str], value: str) -> Column:
    """Whether a row of events holds the entity, now or in an earlier version."""
    found = [_is(F.col(name), value) for name in sorted(columns) if name in events_df.columns]
    if EARLIER in events_df.columns:
        versions = events_df.schema[EARLIER].dataType.elementType.names  # type: ignore[attr-defined]
        earlier = sorted({*columns} & {*versions})
        found.append(F.exists(EARLIER, lambda told: _any([_is(told[n], value) for n in earlier])))
    return _any(found)


def in_quarantine(rejected_df: DataFrame, columns: Collection[str], value: str) -> Column:
    """Whether a row of quarantine tells of the entity, in the row as it was delivered."""
    row = rejected_df[ROW_AS_JSON]
    return _any([F.get_json_object(row, f"$['{name}']") == value for name in sorted(columns)])


def in_tiles(
    tiles_df: DataFrame, tilings: Sequence[Tiling], columns: Columns, value: str
) -> Column:
    """Whether a tile is of the entity, or holds it as a value."""
    found = []
    for tiling in tilings:
        own = columns.get(tiling.stream.name, ())
        is_of = F.col("history") == tiling.digest
        parts = F.split("key", re.escape(SEPARATOR))
        found += [
            is_of & (F.get(parts, F.lit(place)) == value)
            for place, key in enumerate(tiling.keys)
            if key in own
        ]
        # Its keys are told of above: what is a value of it, they say nothing of.
        holds = bool(tiling.stream.taken_by(tiling.value) & {*own})
        if tiling.kind == "texts" and holds and "text" in tiles_df.columns:
            found.append(is_of & (F.col("text") == value))
        if tiling.kind == "items" and holds and "item" in tiles_df.columns:
            found.append(is_of & (F.col("item") == F.xxhash64(F.lit(value))))
    return _any(found)


def in_features(
    features_df: DataFrame, definition: Definition, columns: Columns, value: str
) -> Column:
    """Whether a row of features is of the entity, or a feature of it tells of it."""
    there = {*features_df.columns}
    keys = {*definition.keys} & {*columns.get(ROW, ())} & there
    found = [_is(F.col(name), value) for name in sorted(keys)]
    for feature in _features(definition, columns):
        if feature.name not in there:
            continue
        if isinstance(feature, MultiValued):
            found.append(F.array_contains(split_values(feature), value))
        elif isinstance(feature, Cross):
            found.append(F.array_contains(F.split(feature.name, SEPARATOR), value))
        else:
            found.append(_is(F.col(feature.name), value))
    sequences = [one.name for one in _sequences(definition, columns) if one.name in there]
    return _any([*found, *(F.array_contains(name, value) for name in sequences)])


def in_scores(scores_df: DataFrame, definition: Definition, columns: Columns, value: str) -> Column:
    """Whether a score is of the entity."""
    keys = {*definition.keys} & {*columns.get(ROW, ())} & {*scores_df.columns}
    return _any([_is(F.col(name), value) for name in sorted(keys)])


def in_training_set(
    rows_df: DataFrame, definition: Definition, columns: Columns, value: str
) -> Column:
    """Whether a row of a training set has the key of the entity.

    Such a row knows no value but by its key, a hash: one that knows the entity only together with
    another (a `Cross`) is not found.
    """
    names = []
    for one in (*_features(definition, columns), *_sequences(definition, columns)):
        if isinstance(one, MultiValued | SequenceOf):
            names += list_columns(one, KEY_PREFIX)
        elif isinstance(one, Categorical):
            names.append(f"{KEY_PREFIX}{one.name}")
    key = F.xxhash64(F.lit(value))
    return _any([F.col(name) == key for name in names if name in rows_df.columns])


def _features(definition: Definition, columns: Columns) -> list[Feature]:
    """Return the features whose values are the entity, or several of which it may be one."""
    streams = {lookup.name: lookup.stream.name for lookup in definition.lookups}

    def is_of(name: str) -> bool:
        owner, dot, column = name.partition(".")
        return column in columns.get(streams[owner], ()) if dot else name in columns.get(ROW, ())

    return [
        feature
        for feature in definition.features
        if not isinstance(feature, Numeric)
        and not (isinstance(feature, Categorical) and feature.bounds)
        and any(map(is_of, taken(feature)))
    ]


def _sequences(definition: Definition, columns: Columns) -> list[SequenceOf]:
    """Return the sequences that may hold the entity as a value."""
    return [
        one
        for one in definition.sequences
        if (stream := definition.stream_of(one)).taken_by(one.value)
        & {*columns.get(stream.name, ())}
    ]


def _is(column: Column, value: str) -> Column:
    return F.coalesce(column.cast("string") == value, F.lit(False))


def _any(conditions: Sequence[Column]) -> Column:
    return reduce(lambda some, one: some | F.coalesce(one, F.lit(False)), conditions, F.lit(False))
