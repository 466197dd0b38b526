"""From readable features to what a model takes: 64-bit keys and float values, made in the JVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Numeric
from feature_store.schema import DS, KEY_PREFIX, VALUE_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition

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
    """Return ds and keys with `_keys` (array of K bigint) and `_values` (array of N float).

    Arrays cross to Python as one flat buffer each, at half the cost of K + N columns.
    """
    keys = [category_key(name) for name in definition.categorical_names()]
    missing = F.lit(float("nan")).cast("float")
    values = [F.coalesce(column, missing) for column in numeric_values(definition).values()]
    return features_df.select(
        DS,
        *definition.keys,
        F.array(*keys).alias(KEYS),
        F.array(*values).cast("array<float>").alias(VALUES),
    )


def widen(features_df: DataFrame, definition: Definition, *extra: str) -> DataFrame:
    """Return training columns: `extra`, then k_<name> bigint and v_<name> float, NaN = missing."""
    keys = [
        category_key(name).alias(f"{KEY_PREFIX}{name}") for name in definition.categorical_names()
    ]
    missing = F.lit(float("nan")).cast("float")
    values = [
        F.coalesce(column, missing).alias(f"{VALUE_PREFIX}{name}")
        for name, column in numeric_values(definition).items()
    ]
    return features_df.select(*extra, *keys, *values)


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
