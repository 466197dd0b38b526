"""The label of each row to score, and since when it is known: pure DataFrame in, DataFrame out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Label
from feature_store.events.cutoff import cutoff_column
from feature_store.features.sums import DIGITS
from feature_store.features.tiles import days_counted, key_text
from feature_store.features.values import evaluated, last_known, resolved
from feature_store.schema import DS, LABEL_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Outcome

LABEL_KNOWN_AT = "_known_at"


def label_column(definition: Definition) -> str:
    """Return the column that the label is in: 0.0 or 1.0, null where a row has none."""
    return f"{LABEL_PREFIX}{definition.label.name}"


def row_labels(events_df: DataFrame, definition: Definition) -> DataFrame:
    """Return ds, keys, the label as 0.0 or 1.0 (null = none) and when it became known.

    Raises:
        TypeError: the label is not one that a row tells itself.
    """
    label, row = definition.label, definition.row
    if not isinstance(label, Label):
        raise TypeError(f"label {label.name} is an {type(label).__name__}")
    spark = events_df.sparkSession
    value = evaluated(spark, label.expression).cast("float")
    taken = resolved(spark, row, f"label {label.name}", label.expression).columns
    return events_df.select(
        DS,
        *definition.keys,
        value.alias(label_column(definition)),
        last_known(row, label.known, taken).alias(LABEL_KNOWN_AT),
    )


def outcome_labels(
    rows_df: DataFrame,
    tiles_df: DataFrame,
    definition: Definition,
    outcome: Outcome,
    days: Sequence[date],
) -> DataFrame:
    """Return ds, keys, the outcome as 0.0 or 1.0 and when the last that decides it was known.

    Args:
        rows_df: rows of `days`: ds, keys, and what the outcome is asked by.
        tiles_df: the outcome's tiles of every day that it is looked for on.
        definition: the pipeline.
        outcome: its label.
        days: the days of the rows.

    A row without one of the keys that the outcome is asked by has null: no label.
    """
    happened = _happened(tiles_df, definition, days).withColumn("_happened", F.lit(True))
    asked = rows_df.withColumn("_key", key_text(outcome.asked_by))
    label = F.when(F.col("_key").isNotNull(), F.coalesce("_happened", F.lit(False)).cast("float"))
    settled = cutoff_column(definition.cutoff_hours + 24 * definition.label_days)
    known_at = settled - F.expr("INTERVAL 1 MICROSECOND")  # what decides it was known before then
    return asked.join(happened, [DS, "_key"], "left").select(
        DS,
        *definition.keys,
        label.alias(label_column(definition)),
        known_at.alias(LABEL_KNOWN_AT),
    )


def _happened(tiles_df: DataFrame, definition: Definition, days: Sequence[date]) -> DataFrame:
    """Return `ds` and `_key` of what came to be, of those of `days`, by the time it is settled.

    A tile of day t tells of day d if t is one of the days that an outcome of d is looked for on,
    and if it may be used by the time that the outcome of d is settled.
    """
    looked = definition.outcome_days(days[0])
    nearest, furthest = ((day - days[0]).days for day in (looked[0], looked[-1]))
    settled = F.date_sub("usable_from", definition.label_days)
    # Of a boolean the first digit is how many rows said so, and a correction takes it off again.
    counting = days_counted(
        tiles_df.where(F.col(DIGITS[0]) != 0),
        F.greatest(F.date_sub(DS, furthest), settled),
        F.date_sub(DS, nearest),
        days,
    )
    said = counting.groupBy(F.col("_day").alias(DS), F.col("key").alias("_key")).agg(
        F.sum(DIGITS[0]).alias("_said")
    )
    return said.where("_said > 0").drop("_said")
