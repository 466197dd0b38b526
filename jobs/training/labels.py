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

from feature_store.definition import Label, Outcome, label_words, plain
from feature_store.errors import NightscoreError
from feature_store.features.labels import known_column, label_column
from feature_store.schema import DS
from jobs.training.label_rows import labelled_rows
from jobs.training.training_set import (
    VALID,
    LabelCounts,
    check_classes,
    first_day_after_training,
    split_of,
    usable_labels,
)

if TYPE_CHECKING:
    from pyspark.sql import Column

    from jobs.context import Context

_DAY = 86_400


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitLabels:
    """What the events of one split have of one label."""

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
    """Do nothing if each split has of every label both classes, known in time.

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
        for label in context.definition.labels:
            of_label = found.get((split, label.name))
            if of_label is None or not of_label.usable:
                raise NightscoreError(_text(context, days, split, label, of_label))
            counts = LabelCounts(rows=of_label.usable, positives=of_label.positives)
            check_classes(context.definition, split, label.name, counts)


def split_labels(
    context: Context, days: Mapping[str, Sequence[date]], splits: Sequence[str]
) -> dict[tuple[str, str], SplitLabels]:
    """Return what each split that has events has of each label, in one pass over them.

    The keys are (split, label).
    """
    definition = context.definition
    usable = usable_labels(definition, days)
    of_labels = (
        F.struct(*_counted(name, usable[label_column(name)])).alias(name)
        for name in definition.label_names
    )
    rows = (
        labelled_rows(context, [d for split in splits for d in days[split]])
        .groupBy(split_of(days).alias("_split"))
        .agg(*of_labels)
        .collect()
    )
    return {
        (row["_split"], name): SplitLabels(**row[name].asDict())
        for row in rows
        for name in definition.label_names
    }


def _counted(name: str, usable: Column) -> list[Column]:
    """Return the fields of `SplitLabels`, aggregated."""
    label, known = F.col(label_column(name)), F.col(known_column(name))
    midnight = F.col(DS).cast("timestamp").cast("bigint")
    delay = F.when(label.isNotNull(), known.cast("bigint") - midnight)
    return [
        F.count(F.lit(1)).alias("events"),
        F.count(label).alias("labels"),
        F.count(usable).alias("usable"),
        F.coalesce(F.sum(usable), F.lit(0.0)).cast("bigint").alias("positives"),
        F.percentile_approx(delay, 0.5).alias("typical"),
        F.percentile_approx(delay, 0.95).alias("most"),
    ]


def _text(
    context: Context,
    days: Mapping[str, Sequence[date]],
    split: str,
    label: Label | Outcome,
    found: SplitLabels | None,
) -> str:
    definition, listed = context.definition, days[split]
    start = definition.cutoff(first_day_after_training(definition, days))
    what = f"{definition.name}: split {split} ({listed[0]} to {listed[-1]})"
    if found is None:
        return f"{what} has no events. Take other days"
    if not found.labels and label.given is not None:
        return (
            f"{what} has no label {label.name!r}: in none of its {found.events:,} events, as far "
            f"as it is known, is the label {label.given!r} true, which it is given. Take other days"
        )
    if not found.labels and isinstance(label, Outcome):
        return (
            f"{what} has no label {label.name!r}, {label_words(plain(label))}: none of its "
            f"{found.events:,} rows has {', '.join(label.asked_by)}. Have the source fill them"
        )
    at = definition.row.known(label.known).at if isinstance(label, Label) else ""
    if not found.labels or found.typical is None or found.most is None:
        told = f"{label.expression} has no value" if isinstance(label, Label) else "it has no value"
        return (
            f"{what} has no label {label.name!r}: {told}, or {at or 'it'} no time, in all of its "
            f"{found.events:,} events. Take days whose outcome is there"
        )
    told = (
        f"{what} has no label {label.name!r} that was known in time: none of its {found.labels:,} "
        f"was before {start:%Y-%m-%d %H:%M} UTC, when what comes after training begins. Labels "
        f"become known, {at and f'by {at}, '}{found.typical / _DAY:.1f} days after their day "
        f"begins, 95 % of them within {found.most / _DAY:.1f}"
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
