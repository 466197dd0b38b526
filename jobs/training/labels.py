"""Whether each split has labels that a training may use: seen in the events, before any feature.

A label counts for training if it was known before the first evaluation day began. Where it becomes
known later than the days held out last, none of them counts: that is told in the first seconds,
with what would do, and not after features were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Label, label_words, plain
from feature_store.errors import NightscoreError
from feature_store.features.labels import LABEL_KNOWN_AT, label_column
from feature_store.schema import DS
from jobs.training.label_rows import labelled_rows
from jobs.training.training_set import (
    EVAL,
    VALID,
    check_classes,
    first_day_after_training,
    split_of,
)

if TYPE_CHECKING:
    from jobs.context import Context

_DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitLabels:
    """The labels of the events of one split."""

    events: int
    labels: int
    """Events with a label, known in time or not."""
    usable: int
    """Those that were known in time."""
    positives: int
    """Usable labels that are true."""
    typical: int | None
    """Median seconds from the midnight that begins a day to when its labels became known."""
    most: int | None
    """The same for 95 % of the labels."""


def require_labels(
    context: Context, days: Mapping[str, Sequence[date]], splits: Sequence[str]
) -> None:
    """Do nothing if each split has labels of both classes that were known in time.

    Where the days before tell what is scored, the rows are in the features only, and what labels
    they have is seen when they are frozen.

    Args:
        context: the pipeline; the events of the splits are there.
        days: the days of every split.
        splits: the splits to look at.

    Raises:
        NightscoreError: one has none, or of one class only; says when labels become known, and
            what to change.
    """
    if context.definition.stream is None:
        return
    found = split_labels(context, days, splits)
    for split in splits:
        labels = found.get(split)
        if labels is None or not labels.usable:
            raise NightscoreError(_text(context, days, split, labels))
        check_classes(context.definition, split, labels.usable, labels.positives)


def split_labels(
    context: Context, days: Mapping[str, Sequence[date]], splits: Sequence[str]
) -> dict[str, SplitLabels]:
    """Return the labels of each split that has events, in one pass over them."""
    definition = context.definition
    label = F.col(label_column(definition))
    start = definition.cutoff(first_day_after_training(definition, days))
    has_label, known = label.isNotNull(), F.col(LABEL_KNOWN_AT)
    in_time = F.coalesce(known < F.lit(start), F.lit(False)) | (F.col("_split") == EVAL)
    usable = has_label & in_time
    delay = F.when(has_label, known.cast("bigint") - F.col(DS).cast("timestamp").cast("bigint"))
    rows = (
        labelled_rows(context, [d for split in splits for d in days[split]])
        .withColumn("_split", split_of(days))
        .groupBy("_split")
        .agg(
            F.count(F.lit(1)).alias("events"),
            F.sum(has_label.cast("bigint")).alias("labels"),
            F.sum(usable.cast("bigint")).alias("usable"),
            F.sum(F.when(usable, label).otherwise(0.0)).cast("bigint").alias("positives"),
            F.percentile_approx(delay, 0.5).alias("typical"),
            F.percentile_approx(delay, 0.95).alias("most"),
        )
        .collect()
    )
    names = SplitLabels.__dataclass_fields__
    return {row["_split"]: SplitLabels(**{name: row[name] for name in names}) for row in rows}


def _text(
    context: Context, days: Mapping[str, Sequence[date]], split: str, found: SplitLabels | None
) -> str:
    definition = context.definition
    label, listed = definition.label, days[split]
    start = definition.cutoff(first_day_after_training(definition, days))
    what = f"{definition.name}: split {split} ({listed[0]} to {listed[-1]})"
    if found is None:
        return f"{what} has no events. Take other days"
    if not isinstance(label, Label):
        return (
            f"{what} has no label {label.name!r}, {label_words(plain(label))}: none of its "
            f"{found.events:,} rows has {', '.join(label.asked_by)}. Have the source fill them"
        )
    at = definition.row.known(label.known).at
    if not found.labels or found.typical is None or found.most is None:
        return (
            f"{what} has no label {label.name!r}: {label.expression} has no value, or {at} no "
            f"time, in all of its {found.events:,} events. Take days whose outcome is there"
        )
    told = (
        f"{what} has no label {label.name!r} that was known in time: none of its {found.labels:,} "
        f"was before {start:%Y-%m-%d %H:%M} UTC, when what comes after training begins. Labels "
        f"become known, by {at}, {found.typical / _DAY:.1f} days after their day begins, 95 % of "
        f"them within {found.most / _DAY:.1f}"
    )
    # The oldest day held out has all the others after it, and so the most time.
    needed = max(1, (found.most - definition.cutoff_hours * 3600) // _DAY + 1)
    first = first_day_after_training(definition, days) - timedelta(days=needed + 1)
    if split == VALID:
        return (
            f"{told}. validation_days={definition.training.validation_days} is less than that. Set "
            f"validation_days={needed} or more in the definition, and start training on {first} or "
            "before (--from)"
        )
    return f"{told}. Start training earlier (--from)"
