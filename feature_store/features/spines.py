"""What is scored on a day where no rows for it are delivered: told by the tiles of days before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.definition import Top
from feature_store.errors import SpineTooLarge
from feature_store.features.histories import digits_by_place
from feature_store.features.sums import rounded
from feature_store.features.tiles import SEPARATOR, days_counted
from feature_store.features.values import evaluated
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Active, Definition, Product

ROWS_PER_TASK = 500_000
"""Pairs that one task makes, and then looks up histories for."""


def entities(
    tiles_df: DataFrame, side: Active | Top, definition: Definition, days: Sequence[date]
) -> DataFrame:
    """Return ds and the keys of the entities of each of `days`.

    Args:
        tiles_df: tiles of the windows before `days`.
        side: which entities.
        definition: the pipeline.
        days: the days.

    A tile of day t counts for day d when d - days <= t < d and usable_from <= d. An entity of
    several keys, one of which holds the character that separates them, cannot be told from others:
    it is left out.
    """
    tiling = definition.tiling(side)
    own = tiles_df.where(F.col("history") == tiling.digest)
    digits = digits_by_place(own, [tiling], definition, days)
    counting = days_counted(
        own, F.greatest(F.date_add(DS, 1), "usable_from"), F.date_add(DS, side.days), days
    )
    sums = counting.groupBy(F.col("_day").alias(DS), "key").agg(
        *[F.sum(digit).alias(f"_{place}") for place, digit in digits.items()]
    )
    total = rounded({int(place): F.coalesce(f"_{place}", F.lit(0)) for place in digits})
    chosen = sums.select(DS, "key", total.alias("_total")).transform(_chosen, side)
    keys = F.split("key", SEPARATOR, -1) if len(side.keys) > 1 else F.array("key")
    typed = [
        F.get(keys, place).cast(column.dtype).alias(column.name)
        for place, column in enumerate(side.row.columns)
    ]
    return chosen.where(F.size(keys) == len(typed)).select(DS, *typed)


def _chosen(totals_df: DataFrame, side: Active | Top) -> DataFrame:
    if not isinstance(side, Top):
        return totals_df.where(F.col("_total") >= side.at_least)
    largest = Window.partitionBy(DS).orderBy(F.desc("_total"), "key")
    ranked = totals_df.where("_total > 0").withColumn("_place", F.row_number().over(largest))
    return ranked.where(F.col("_place") <= side.n)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """How two sides come together: the smaller one is sent to wherever the other one is."""

    condition: str | None
    tasks: int
    is_left_larger: bool

    def of(self, left_df: DataFrame, right_df: DataFrame) -> DataFrame:
        """Return every pair of a row of the left and one of the right, of the same ds."""
        if self.is_left_larger:
            pairs = left_df.repartition(self.tasks).join(F.broadcast(right_df), DS)
        else:
            pairs = F.broadcast(left_df).join(right_df.repartition(self.tasks), DS)
        if self.condition is None:
            return pairs
        # Where it cannot be evaluated, it does not hold.
        return pairs.where(F.coalesce(evaluated(pairs.sparkSession, self.condition), F.lit(False)))


def paired(
    left_df: DataFrame, right_df: DataFrame, product: Product, definition: Definition
) -> Pairing:
    """Return how the entities of two sides come together; counts them.

    Raises:
        SpineTooLarge: a day has more pairs than `max_rows`.
    """
    left, right = (_count_by_day(side) for side in (left_df, right_df))
    sizes = {day: rows * right.get(day, 0) for day, rows in left.items()}
    for day, rows in sorted(sizes.items()):
        if rows > product.max_rows:
            raise SpineTooLarge(definition.name, day, left[day], right[day], product.max_rows)
    cores = left_df.sparkSession.sparkContext.defaultParallelism
    return Pairing(
        condition=product.where,
        tasks=max(cores, -(-sum(sizes.values()) // ROWS_PER_TASK)),
        is_left_larger=sum(left.values()) >= sum(right.values()),
    )


def _count_by_day(side_df: DataFrame) -> dict[date, int]:
    return {row[DS]: row["count"] for row in side_df.groupBy(DS).count().collect()}
