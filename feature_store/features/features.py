"""The features of some days: pure DataFrame in, DataFrame out, nothing known too late."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Categorical, Cross, Numeric, Product, Rows
from feature_store.events.cutoff import cutoff_column
from feature_store.events.versions import as_of
from feature_store.features.asks import Wanted
from feature_store.features.asof import join_lookups
from feature_store.features.derived import ranged, with_derived
from feature_store.features.histories import (
    empty_histories,
    join_histories,
    known_histories,
)
from feature_store.features.sequences import join_sequences
from feature_store.features.spines import entities, paired
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Active, Definition, Feature, Lookup, RowType, Top


def build_features(
    events_df: DataFrame | None,
    tiles_df: DataFrame | None,
    lookups: Mapping[str, DataFrame],
    definition: Definition,
    days: Sequence[date],
    snapshots: Mapping[str, Sequence[date]] | None = None,
) -> DataFrame:
    """Return one row per thing to score on `days`: ds, keys, then every feature.

    Args:
        events_df: events of `days`; None where the days before tell what is scored.
        tiles_df: tiles, of every stream, of the window before each of `days`; None where there
            are none yet, which then tell of nothing to score.
        lookups: events of what each lookup looks up, by its name.
        definition: the pipeline.
        days: the days to compute.
        snapshots: the days of each lookup in several snapshots.

    A row that was not known before its own cut-off is not a thing to score that day; a value that
    was not is null.

    Raises:
        SpineTooLarge: a day has more pairs to score than its spine allows.
    """
    spine = definition.spine
    made = Made(tiles_df=tiles_df, lookups=lookups, snapshots=snapshots or {}, days=days)
    wanted = Wanted.of(definition)
    if isinstance(spine, Rows):
        assert events_df is not None  # noqa: S101 - whoever calls knows what is scored
        known = known_in_time(events_df, spine.stream, definition.cutoff_hours)
        rows = made.with_all(known, wanted, definition.lookups)
    else:
        assert tiles_df is not None  # noqa: S101 - an empty frame where there are none
        rows = _told_rows(tiles_df, made, wanted, spine)
    rows = with_derived(rows, definition)
    plain = [f.name for f in definition.features]
    keys = [key for key in definition.keys if key not in plain]
    histories = [name for h in definition.histories for name, _, _ in h.columns()]
    computed = [_feature(f, definition).alias(f.name) for f in definition.features]
    sequences = [name for s in definition.sequences for name in (s.name, s.ages)]
    return rows.select(DS, *keys, *computed, *histories, *sequences)


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What features are made of beside the rows."""

    tiles_df: DataFrame | None
    lookups: Mapping[str, DataFrame]
    snapshots: Mapping[str, Sequence[date]]
    days: Sequence[date]

    def with_all(self, rows_df: DataFrame, wanted: Wanted, lookups: Sequence[Lookup]) -> DataFrame:
        """Return rows with the histories, sequences and lookups wanted of them."""
        definition = wanted.definition
        rows = join_lookups(rows_df, self.lookups, definition, lookups, self.snapshots)
        rows = join_sequences(rows, self.tiles_df, definition, wanted.sequences, self.days)
        if not wanted.histories:
            return rows
        if self.tiles_df is None:
            return rows.withColumns(empty_histories(wanted))
        # Found in the rows without what was joined to them, which is more to carry, or to do twice.
        found = known_histories(rows_df, self.tiles_df, wanted, self.days)
        return join_histories(rows, found, wanted)


def _told_rows(
    tiles_df: DataFrame, made: Made, wanted: Wanted, spine: Active | Top | Product
) -> DataFrame:
    """Return the rows that the days before tell, with their histories and lookups.

    What is asked by keys of one side is found once for each entity of that side.
    """
    definition = wanted.definition
    found = [entities(tiles_df, side, definition, made.days) for side in spine.sides]
    if not isinstance(spine, Product):
        return made.with_all(found[0], wanted, definition.lookups)
    pairing = paired(found[0], found[1], spine, definition)
    left, right = (
        made.with_all(
            frame,
            replace(
                wanted,
                keys=side.keys,
                histories=tuple(h for h in wanted.histories if _is_of(h.asked_by, side)),
                sequences=tuple(s for s in wanted.sequences if _is_of(s.asked_by, side)),
            ),
            [lk for lk in definition.lookups if _is_of(definition.looked_up_by(lk), side)],
        )
        for frame, side in zip(found, spine.sides, strict=True)
    )

    def is_of_both(names: Collection[str]) -> bool:
        return not any(_is_of(names, side) for side in spine.sides)

    of_both = replace(
        wanted,
        histories=tuple(h for h in wanted.histories if is_of_both(h.asked_by)),
        sequences=tuple(s for s in wanted.sequences if is_of_both(s.asked_by)),
    )
    looked_up = [lk for lk in definition.lookups if is_of_both(definition.looked_up_by(lk))]
    return made.with_all(pairing.of(left, right), of_both, looked_up)


def _is_of(names: Collection[str], side: Active | Top) -> bool:
    """Whether what is asked by these columns is the same for all pairs with an entity of a side."""
    return set(names) <= set(side.keys)


def known_in_time(events_df: DataFrame, row: RowType, cutoff_hours: int) -> DataFrame:
    """Return the rows known before their cut-off; in them a value that was not is null.

    Every column, whatever takes it later: joined on, or used as a time, a value known too late
    tells as much as it does as a feature.
    """
    cutoff = cutoff_column(cutoff_hours)
    events_df = as_of(events_df, cutoff)
    in_time = {group.name: F.col(group.at) < cutoff for group in row.knowns}
    of_keys = {row.column(key).known for key in row.keys}
    rows = events_df
    for group in sorted(of_keys):
        rows = rows.where(in_time[group])
    late = [c for c in row.columns if c.known not in of_keys and c.name in rows.columns]
    return rows.withColumns({c.name: F.when(in_time[c.known], F.col(c.name)) for c in late})


def _feature(feature: Feature, definition: Definition) -> Column:
    if isinstance(feature, Cross):
        parts = [F.col(column).cast("string") for column in feature.of]
        return F.concat_ws("\u001f", *[F.coalesce(part, F.lit("")) for part in parts])
    value = F.col(feature.column)
    if feature.name in definition.keys:
        return value
    if isinstance(feature, Categorical) and feature.bounds:
        return ranged(value.cast("double"), feature.bounds)
    return value.cast("double" if isinstance(feature, Numeric) else "string")
