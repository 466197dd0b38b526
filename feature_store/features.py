"""The features of some days: pure DataFrame in, DataFrame out, nothing known too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.asof import cutoff_column, join_lookup
from feature_store.definition import Categorical, Cross
from feature_store.schema import DS
from feature_store.tiles import empty_histories, join_histories, window_sums

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Numeric


def build_features(
    events_df: DataFrame,
    tiles_df: DataFrame | None,
    lookups: Mapping[str, DataFrame],
    definition: Definition,
    days: Sequence[date],
) -> DataFrame:
    """Return one row per thing to score on `days`: ds, keys, then every feature.

    Args:
        events_df: events of `days`.
        tiles_df: tiles of the window before each of `days`; None where there are none yet.
        lookups: rows of each lookup by name, with event_time and known_at.
        definition: the pipeline.
        days: the days to compute.

    A row that was not known before its own cut-off is not a thing to score that day; a value that
    was not is null.
    """
    groups = sorted({definition.column(key).known for key in definition.keys})
    rows = events_df
    for group in groups:
        rows = rows.where(F.col(definition.known(group).at) < cutoff_column(definition))
    for lookup in definition.lookups:
        rows = join_lookup(rows, lookups[lookup.name], lookup, definition)
    if tiles_df is None:
        rows = rows.withColumns(empty_histories(definition))
    else:
        rows = join_histories(rows, window_sums(tiles_df, definition, days), definition)
    plain = [f.name for f in definition.features]
    keys = [key for key in definition.keys if key not in plain]
    histories = [name for h in definition.histories for name, _, _ in h.columns()]
    computed = [
        _feature(feature, definition).alias(feature.name) for feature in definition.features
    ]
    return rows.select(DS, *keys, *computed, *histories)


def _feature(feature: Categorical | Cross | Numeric, definition: Definition) -> Column:
    if isinstance(feature, Cross):
        parts = [_known_value(column, definition).cast("string") for column in feature.of]
        return F.concat_ws("\u001f", *[F.coalesce(part, F.lit("")) for part in parts])
    value = _known_value(feature.column, definition)
    if feature.name in definition.keys:
        return value
    return value.cast("string" if isinstance(feature, Categorical) else "double")


def _known_value(column: str, definition: Definition) -> Column:
    """Return a source or lookup column, null where it was not known before the cut-off."""
    if "." in column:
        return F.col(column)
    at = F.col(definition.known(definition.column(column).known).at)
    return F.when(at < cutoff_column(definition), F.col(column))
