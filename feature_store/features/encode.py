"""From readable features to what a model takes: 64-bit keys and float values, made in the JVM."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import MultiValued, Numeric
from feature_store.schema import DS, KEY_PREFIX, VALUE_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from feature_store.definition import Sequence as SequenceOf

KEYS = "_keys"
VALUES = "_values"
MISSING_KEY = 0
_COUNTS = ("count", "distinct", "days_since_last")
"""Aggregates that a model takes the logarithm of: what matters is how many times as many."""


def category_key(name: str) -> Column:
    """Return the 64-bit key of a categorical feature: xxhash64 of its text, 0 for null."""
    return F.when(F.col(name).isNull(), F.lit(MISSING_KEY).cast("bigint")).otherwise(
        F.xxhash64(F.col(name).cast("string"))
    )


def list_keys(feature: MultiValued | SequenceOf) -> Column:
    """Return the keys of a list, an array of its length: of its values, then padding (0)."""
    values = split_values(feature) if isinstance(feature, MultiValued) else F.col(feature.name)
    nothing = F.lit(MISSING_KEY).cast("bigint")
    return _padded(F.transform(values, lambda value: F.xxhash64(value)), nothing, feature.length)


def list_ages(feature: SequenceOf) -> Column:
    """Return the ages of a list's values in days, an array of its length; NaN is padding."""
    nothing = F.lit(float("nan")).cast("float")
    return _padded(F.col(feature.ages).cast("array<float>"), nothing, feature.length)


def split_values(feature: MultiValued) -> Column:
    """Return the different values of a text, as they stand in it."""
    parts = F.split(F.col(feature.name), re.escape(feature.separator))
    trimmed = F.transform(parts, lambda part: F.trim(part))
    return F.array_distinct(F.filter(trimmed, lambda part: part != ""))


def _padded(values: Column, nothing: Column, length: int) -> Column:
    """Return the first values of an array, with what stands for none up to its length."""
    padding = F.array_repeat(nothing, length)
    # An array that is missing has no value.
    return F.slice(F.concat(F.coalesce(values, F.slice(padding, 1, 0)), padding), 1, length)


def numeric_values(definition: Definition) -> dict[str, Column]:
    """Return the float column of each numeric feature, transformed; null stays null."""
    return {name: value.cast("float") for name, value in numeric_doubles(definition).items()}


def numeric_doubles(definition: Definition) -> dict[str, Column]:
    """Return each numeric feature, transformed, before it becomes the float that a model takes."""
    features = {f.name: f for f in definition.features if isinstance(f, Numeric)}
    of_histories = (column for history in definition.histories for column in history.columns())
    counts = {name for name, aggregate, _ in of_histories if aggregate in _COUNTS}
    own = {name: _transformed(F.col(name), feature) for name, feature in features.items()}
    return {
        name: own[name] if name in own else _history(F.col(name), is_count=name in counts)
        for name in definition.numeric_names()
    }


def pack(features_df: DataFrame, definition: Definition) -> DataFrame:
    """Return ds and keys with `_keys` (array of bigint) and `_values` (array of float).

    In both, what lists have stands behind what has one value. Arrays cross to Python as one flat
    buffer each, at half the cost of as many columns.
    """
    keys = [category_key(name) for name in definition.categorical_names()]
    missing = F.lit(float("nan")).cast("float")
    values = [F.coalesce(column, missing) for column in numeric_values(definition).values()]
    packed_keys, packed_values = F.array(*keys), F.array(*values).cast("array<float>")
    if definition.lists:
        packed_keys = F.concat(packed_keys, *map(list_keys, definition.lists))
    if definition.sequences:
        packed_values = F.concat(packed_values, *map(list_ages, definition.sequences))
    return features_df.select(
        DS, *definition.keys, packed_keys.alias(KEYS), packed_values.alias(VALUES)
    )


def widen(features_df: DataFrame, definition: Definition, *extra: str) -> DataFrame:
    """Return training columns: `extra`, then k_<name> bigint and v_<name> float, NaN = missing.

    A list has a column for each place: k_<name>_0, k_<name>_1, ...
    """
    keys = [
        category_key(name).alias(f"{KEY_PREFIX}{name}") for name in definition.categorical_names()
    ]
    missing = F.lit(float("nan")).cast("float")
    values = [
        F.coalesce(column, missing).alias(f"{VALUE_PREFIX}{name}")
        for name, column in numeric_values(definition).items()
    ]
    for feature in definition.lists:
        keys += _each(list_keys(feature), list_columns(feature, KEY_PREFIX))
    for sequence in definition.sequences:
        values += _each(list_ages(sequence), list_columns(sequence, VALUE_PREFIX))
    return features_df.select(*extra, *keys, *values)


def list_columns(feature: MultiValued | SequenceOf, prefix: str) -> list[str]:
    """Return the columns of a list in a training set, place by place."""
    return [f"{prefix}{feature.name}_{place}" for place in range(feature.length)]


def _each(array: Column, names: Sequence[str]) -> list[Column]:
    return [F.get(array, F.lit(place)).alias(name) for place, name in enumerate(names)]


def _transformed(value: Column, feature: Numeric) -> Column:
    value = value.cast("double")
    if feature.offset:
        value = value - F.lit(feature.offset)
    return _log1p(value) if feature.transform == "log1p" else value


def _history(value: Column, *, is_count: bool) -> Column:
    return _log1p(value.cast("double")) if is_count else value.cast("double")


def _log1p(value: Column) -> Column:
    # Negative input has no logarithm of 1 + x below -1; the sign is kept instead.
    return F.signum(value) * F.log1p(F.abs(value))
