"""The features of some days: pure DataFrame in, DataFrame out, nothing known too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Categorical, Cross
from feature_store.events.cutoff import cutoff_column
from feature_store.events.versions import as_of
from feature_store.features.asof import join_lookups
from feature_store.features.histories import empty_histories, join_histories, known_histories
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition, Numeric, Stream


def build_features(
    events_df: DataFrame,
    tiles_df: DataFrame | None,
    lookups: Mapping[str, DataFrame],
    definition: Definition,
    days: Sequence[date],
    snapshots: Mapping[str, Sequence[date]] | None = None,
) -> DataFrame:
    """Return one row per thing to score on `days`: ds, keys, then every feature.

    Args:
        events_df: events of `days`.
        tiles_df: tiles, of every stream, of the window before each of `days`; None where there
            are none yet.
        lookups: rows of each lookup by name, with event_time and known_at.
        definition: the pipeline.
        days: the days to compute.
        snapshots: the days of each lookup that has several snapshots.

    A row that was not known before its own cut-off is not a thing to score that day; a value that
    was not is null.
    """
    known = known_in_time(events_df, definition.stream, definition.cutoff_hours)
    rows = join_lookups(known, lookups, definition, snapshots)
    if tiles_df is None:
        rows = rows.withColumns(empty_histories(definition))
    else:
        # Found in the rows without what was joined to them, which is more to carry, or to do twice.
        rows = join_histories(rows, known_histories(known, tiles_df, definition, days), definition)
    plain = [f.name for f in definition.features]
    keys = [key for key in definition.keys if key not in plain]
    histories = [name for h in definition.histories for name, _, _ in h.columns()]
    computed = [_feature(f, definition).alias(f.name) for f in definition.features]
    return rows.select(DS, *keys, *computed, *histories)


def known_in_time(events_df: DataFrame, stream: Stream, cutoff_hours: int) -> DataFrame:
    """Return the rows known before their cut-off; in them a value that was not is null.

    Every column, whatever takes it later: joined on, or used as a time, a value known too late
    tells as much as it does as a feature.
    """
    cutoff = cutoff_column(cutoff_hours)
    events_df = as_of(events_df, cutoff)
    in_time = {group.name: F.col(group.at) < cutoff for group in stream.knowns}
    of_keys = {stream.column(key).known for key in stream.keys}
    rows = events_df
    for group in sorted(of_keys):
        rows = rows.where(in_time[group])
    late = [c for c in stream.columns if c.known not in of_keys and c.name in rows.columns]
    return rows.withColumns({c.name: F.when(in_time[c.known], F.col(c.name)) for c in late})


def _feature(feature: Categorical | Cross | Numeric, definition: Definition) -> Column:
    if isinstance(feature, Cross):
        parts = [F.col(column).cast("string") for column in feature.of]
        return F.concat_ws("\u001f", *[F.coalesce(part, F.lit("")) for part in parts])
    value = F.col(feature.column)
    if feature.name in definition.keys:
        return value
    return value.cast("string" if isinstance(feature, Categorical) else "double")
