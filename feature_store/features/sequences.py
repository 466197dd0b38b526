"""The last values of a key before a day, in the order in which they happened, with their ages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.features.tiles import days_counted, key_text
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition
    from feature_store.definition import Sequence as SequenceOf


def join_sequences(
    rows_df: DataFrame,
    tiles_df: DataFrame | None,
    definition: Definition,
    sequences: Iterable[SequenceOf],
    days: Sequence[date],
) -> DataFrame:
    """Return `rows_df` with the two columns of each sequence; empty where a row has none.

    Args:
        rows_df: rows of `days`, with the columns that sequences are asked by.
        tiles_df: tiles of the windows before `days`; None where there are none yet.
        definition: the pipeline.
        sequences: which of its sequences.
        days: the days of the rows.
    """
    for sequence in sequences:
        empty = empty_sequence(sequence)
        if tiles_df is None:
            rows_df = rows_df.withColumns(empty)
            continue
        found = last_values(tiles_df, definition, sequence, days)
        asked = rows_df.withColumn("_key", key_text(sequence.asked_by))
        joined = asked.join(found, [DS, "_key"], "left").drop("_key")
        rows_df = joined.withColumns(
            {name: F.coalesce(name, nothing) for name, nothing in empty.items()}
        )
    return rows_df


def empty_sequence(sequence: SequenceOf) -> dict[str, Column]:
    """Return the columns of a row of whose key nothing is told."""
    return {
        sequence.name: F.array().cast("array<string>"),
        sequence.ages: F.array().cast("array<int>"),
    }


def last_values(
    tiles_df: DataFrame, definition: Definition, sequence: SequenceOf, days: Sequence[date]
) -> DataFrame:
    """Return ds, _key, and the sequence of each key that has one on a day, the newest value last.

    A tile of day t counts for day d when d - w <= t < d and usable_from <= d, for as long as
    corrections that are usable by then leave its value.

    Args:
        tiles_df: tiles of the windows before `days`.
        definition: the pipeline.
        sequence: one of its sequences.
        days: the days that are asked.
    """
    tiling = definition.tiling(sequence, "texts")
    own = tiles_df.where(F.col("history") == tiling.digest)
    begins = F.greatest(F.date_add(DS, 1), "usable_from")
    counting = days_counted(own, begins, F.date_add(DS, sequence.days), days)
    # A correction takes a value off again, one time of it.
    standing = counting.groupBy("_day", "key", DS, "at", "text").agg(F.sum("n").alias("_n"))
    most = F.least("_n", F.lit(sequence.length)).cast("int")
    each = standing.where("_n > 0").select(
        "_day", "key", DS, "at", "text", F.explode(F.array_repeat(F.lit(1), most))
    )
    newest = Window.partitionBy("_day", "key").orderBy(F.desc("at"), F.desc("text"))
    # Spark keeps no more than the first of each key before it shuffles.
    last = each.withColumn("_place", F.row_number().over(newest)).where(
        F.col("_place") <= sequence.length
    )
    value = F.struct(F.negative("_place").alias("place"), "text", DS)
    listed = last.groupBy("_day", "key").agg(F.sort_array(F.collect_list(value)).alias("_values"))
    return listed.select(
        F.col("_day").alias(DS),
        F.col("key").alias("_key"),
        F.transform("_values", lambda told: told["text"]).alias(sequence.name),
        F.transform("_values", lambda told: F.datediff(F.col("_day"), told[DS])).alias(
            sequence.ages
        ),
    )
