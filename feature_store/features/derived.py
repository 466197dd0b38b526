"""Columns computed of what is known of a row, and the ranges that numbers are put in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.features.values import evaluated, number

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition


def with_derived(rows_df: DataFrame, definition: Definition) -> DataFrame:
    """Return rows, that have ds, lookups and histories, with the derived columns of a pipeline."""
    if not definition.derived:
        return rows_df
    # An expression takes a column of a lookup by its whole name.
    rows = rows_df.withColumns({name: F.col(name) for name in definition.looked_up})
    for derived in definition.derived:
        cast = f"CAST(({derived.expression}) AS {derived.dtype})"
        made = number if derived.dtype == "double" else evaluated
        rows = rows.withColumn(derived.name, made(rows.sparkSession, cast))
    return rows


def ranged(value: Column, bounds: Sequence[float]) -> Column:
    """Return which range between bounds a number lies in, as text; null where it is null."""
    names = [f"{bound:g}" if float(f"{bound:g}") == bound else repr(bound) for bound in bounds]
    found = F.lit(f">={names[-1]}")
    below = [f"<{names[0]}", *(f"{low}..{high}" for low, high in pairwise(names))]
    for bound, name in reversed(list(zip(bounds, below, strict=True))):
        found = F.when(value < bound, name).otherwise(found)
    return F.when(value.isNotNull(), found)
