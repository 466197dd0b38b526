"""The labels of each row to score, and since when they are known: DataFrame in, DataFrame out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Label
from feature_store.events.cutoff import cutoff_column
from feature_store.features.histories import digits_by_place
from feature_store.features.sums import rounded
from feature_store.features.tiles import days_counted, key_text
from feature_store.features.values import evaluated, last_known, resolved
from feature_store.schema import DS, LABEL_PREFIX

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Outcome


def label_column(label: str) -> str:
    """Return the column that a label is in: 0.0 or 1.0, null where a row has none."""
    return f"{LABEL_PREFIX}{label}"


def known_column(label: str) -> str:
    """Return the column of when a label became known: a timestamp, null where it is not yet."""
    return f"_known_{label}"


def row_labels(events_df: DataFrame, definition: Definition, labels: Iterable[Label]) -> DataFrame:
    """Return ds, keys, each label as 0.0 or 1.0 (null = none) and when it became known."""
    spark, row = events_df.sparkSession, definition.row
    columns = []
    for label in labels:
        value = evaluated(spark, label.expression).cast("float")
        taken = resolved(spark, row, f"label {label.name}", label.expression).columns
        known_at = last_known(row, label.known, taken)
        columns += [value.alias(label_column(label.name)), known_at.alias(known_column(label.name))]
    return events_df.select(DS, *definition.keys, *columns)


def with_outcome(
    rows_df: DataFrame,
    tiles_df: DataFrame,
    definition: Definition,
    outcome: Outcome,
    days: Sequence[date],
) -> DataFrame:
    """Return the rows with an outcome as 0.0 or 1.0 and when the last that decides it was known.

    Args:
        rows_df: rows of `days`: ds, and what the outcome is asked by.
        tiles_df: the outcome's tiles of every day that it is looked for on.
        definition: the pipeline.
        outcome: one of its labels.
        days: the days of the rows.

    A row without one of the keys that the outcome is asked by has null: no label.
    """
    happened = _happened(tiles_df, definition, outcome, days).withColumn("_happened", F.lit(True))
    asked = rows_df.withColumn("_key", key_text(outcome.asked_by))
    label = F.when(F.col("_key").isNotNull(), F.coalesce("_happened", F.lit(False)).cast("float"))
    hours = definition.cutoff_hours + 24 * definition.settled_days(outcome)
    known_at = cutoff_column(hours) - F.expr("INTERVAL 1 MICROSECOND")  # known before it is settled
    return asked.join(happened, [DS, "_key"], "left").select(
        *rows_df.columns,
        label.alias(label_column(outcome.name)),
        known_at.alias(known_column(outcome.name)),
    )


def only_given(labels_df: DataFrame, definition: Definition, names: Sequence[str]) -> DataFrame:
    """Return ds, keys and the named labels, each only where what it is given is true.

    Such a label is known when it and what it is given are.

    Args:
        labels_df: ds, keys, and every label as it is by itself, those that are given included.
        definition: the pipeline.
        names: the labels to return.
    """
    columns = []
    for name in names:
        *given, label = definition.with_given(definition.label_named(name))
        value, known_at = F.col(label_column(name)), F.col(known_column(name))
        for other in reversed(given):
            value = F.when(F.col(label_column(other.name)) == 1.0, value)
            since = F.col(known_column(other.name))
            # `greatest` passes over a null, which means never known.
            known_at = F.when(known_at.isNotNull() & since.isNotNull(), F.greatest(known_at, since))
        columns += [value.alias(label_column(label.name)), known_at.alias(known_column(label.name))]
    return labels_df.select(DS, *definition.keys, *columns)


def _happened(
    tiles_df: DataFrame, definition: Definition, outcome: Outcome, days: Sequence[date]
) -> DataFrame:
    """Return `ds` and `_key` of what came to be, of those of `days`, by the time it is settled.

    A correction takes off again what it takes back.

    A tile of day t tells of day d if t is one of the days that an outcome of d is looked for on,
    and if it may be used by the time that the outcome of d is settled.
    """
    looked = definition.outcome_days(outcome, days[0])
    nearest, furthest = ((day - days[0]).days for day in (looked[0], looked[-1]))
    settled = F.date_sub("usable_from", definition.settled_days(outcome))
    counting = days_counted(
        tiles_df,
        F.greatest(F.date_sub(DS, furthest), settled),
        F.date_sub(DS, nearest),
        days,
    )
    parts = digits_by_place(tiles_df, [definition.tiling(outcome)], definition, days)
    told = counting.groupBy(F.col("_day").alias(DS), F.col("key").alias("_key")).agg(
        *[F.sum(digit).alias(f"_{place}") for place, digit in parts.items()]
    )
    # A place at which none of the key's values has a digit adds nothing.
    total = rounded({int(place): F.coalesce(f"_{place}", F.lit(0)) for place in parts})
    return told.where(total >= (1 if outcome.at_least is None else outcome.at_least)).select(
        DS, "_key"
    )
