"""Where rows hold an entity: a condition for each kind of table."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Categorical, Cross, MultiValued
from feature_store.definition.entity import ROW
from feature_store.events.quarantine import ROW as ROW_AS_JSON
from feature_store.events.versions import EARLIER
from feature_store.features.encode import list_columns
from feature_store.features.tiles import SEPARATOR
from feature_store.schema import KEY_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Tiling

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
        if tiling.kind == "texts" and tiling.columns & {*own} and "text" in tiles_df.columns:
            found.append(is_of & (F.col("text") == value))
        if tiling.kind == "items" and tiling.columns & {*own} and "item" in tiles_df.columns:
            found.append(is_of & (F.col("item") == F.xxhash64(F.lit(value))))
    return _any(found)


def in_features(
    features_df: DataFrame, definition: Definition, columns: Columns, value: str
) -> Column:
    """Whether a row of features is of the entity, or a feature of it tells of it."""
    keys = [name for name in definition.keys if name in columns.get(ROW, ())]
    found = [_is(F.col(name), value) for name in keys if name in features_df.columns]
    for name, separator in _features(definition, columns):
        if name in features_df.columns:
            text = F.col(name)
            found.append(
                _is(text, value)
                if separator is None
                else F.array_contains(F.split(text, re.escape(separator)), value)
            )
    for name in _sequences(definition, columns):
        if name in features_df.columns:
            found.append(F.array_contains(name, value))
    return _any(found)


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
    names = [f"{KEY_PREFIX}{n}" for n, separator in _features(definition, columns) if not separator]
    lists = {one.name: one for one in definition.lists}
    for name in (*_multi_valued(definition, columns), *_sequences(definition, columns)):
        names += list_columns(lists[name], KEY_PREFIX)
    key = F.xxhash64(F.lit(value))
    return _any([F.col(name) == key for name in names if name in rows_df.columns])


def _features(definition: Definition, columns: Columns) -> Iterator[tuple[str, str | None]]:
    """Yield features that are made of the entity, with what stands between their values, if any."""
    streams = {lookup.name: lookup.stream.name for lookup in definition.lookups}

    def is_of(name: str) -> bool:
        owner, dot, column = name.partition(".")
        return column in columns.get(streams[owner], ()) if dot else name in columns.get(ROW, ())

    for feature in definition.features:
        if isinstance(feature, Cross) and any(map(is_of, feature.of)):
            yield feature.name, SEPARATOR
        elif isinstance(feature, Categorical) and not feature.bounds and is_of(feature.column):
            yield feature.name, None
        elif isinstance(feature, MultiValued) and is_of(feature.column):
            yield feature.name, feature.separator


def _multi_valued(definition: Definition, columns: Columns) -> list[str]:
    several = {f.name for f in definition.features if isinstance(f, MultiValued)}
    return [name for name, _ in _features(definition, columns) if name in several]


def _sequences(definition: Definition, columns: Columns) -> list[str]:
    """Return the sequences that may hold the entity as a value."""
    return [
        one.name
        for one in definition.sequences
        if definition.tiling(one, "texts").stream.taken_by(one.value)
        & {*columns.get(definition.stream_of(one).name, ())}
    ]


def _is(column: Column, value: str) -> Column:
    return F.coalesce(column.cast("string") == value, F.lit(False))


def _any(conditions: Sequence[Column]) -> Column:
    return reduce(lambda some, one: some | F.coalesce(one, F.lit(False)), conditions, F.lit(False))
