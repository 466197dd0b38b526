"""Columns computed of what is known of a row, and the ranges that numbers are put in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.values import evaluated

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition

_INFINITY = float("inf")


def with_derived(rows_df: DataFrame, definition: Definition) -> DataFrame:
    """Return rows, that have ds, lookups and histories, with the derived columns of a pipeline."""
    if not definition.derived:
        return rows_df
    taken = {
        name
        for derived in definition.derived
        for name in definition.seen_by(derived).taken_by(derived.expression)
    }
    # An expression takes a column of a lookup by its whole name.
    flat = {
        f"{lookup.name}.{column.name}": F.col(lookup.name)[column.name]
        for lookup in definition.lookups
        for column in lookup.columns
        if f"{lookup.name}.{column.name}" in taken
    }
    rows = rows_df.withColumns(flat) if flat else rows_df
    for derived in definition.derived:
        cast = f"CAST(({derived.expression}) AS {derived.dtype})"
        value = evaluated(rows.sparkSession, cast)
        if derived.dtype == "double":
            value = F.when(F.abs(value) < _INFINITY, value)
        rows = rows.withColumn(derived.name, value)
    return rows


def ranged(value: Column, bounds: Sequence[float]) -> Column:
    """Return which range between bounds a number lies in, as text; null where it is null."""
    names = [f"{bound:g}" if float(f"{bound:g}") == bound else repr(bound) for bound in bounds]
    found = F.lit(f">={names[-1]}")
    below = [
        f"<{names[0]}",
        *(f"{low}..{high}" for low, high in pairwise(names)),
    ]
    for bound, name in reversed(list(zip(bounds, below, strict=True))):
        found = F.when(value < bound, name).otherwise(found)
    return F.when(value.isNotNull(), found)
