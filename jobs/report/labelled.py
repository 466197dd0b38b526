"""Labels of published nights as they are known now, beside their scores: read, and measured."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F

from feature_store.definition import Outcome
from feature_store.features.labels import known_column, label_column
from feature_store.schema import DS, FEATURES, SCORES, SEGMENT_PREFIX, TILES, stream_table
from jobs.night.ledger import scores_latest
from jobs.report.nights import Labelled
from jobs.report.realised import LARGER, Segments, realised
from jobs.training.label_rows import labelled_rows, told_labels
from models.metrics import labelled as with_label

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

    from jobs.context import Context

MAX_LABELLED_ROWS = 2_000_000
"""Rows of a night that metrics are computed of at most: a sample by the keys' hash above that."""
_LATER = "_later_"


def labels_state(context: Context, day: date, run_id: str) -> str:
    """Return a digest of which run is published, and of what its labels would be read of now.

    It changes whenever a label may have: with the run, the day's events, or a day of tiles that an
    outcome is looked for on. Costs no more than a look at the tables' logs.
    """
    definition, warehouse = context.definition, context.warehouse
    read: list[tuple[str, str, int]] = []

    def add(table: str, days: Sequence[date]) -> None:
        for one in days:
            commit = warehouse.commit(table, one)
            read.append((table, one.isoformat(), -1 if commit is None else commit.version))

    told = told_labels(context, day)
    if context.events:
        add(context.events, [day])
    for name in told:
        for part in definition.with_given(definition.label_named(name)):
            if isinstance(part, Outcome):
                table = stream_table(part.stream.name, TILES)
                add(table, sorted(definition.outcome_days(part, day)))
    text = json.dumps([run_id, told, sorted(set(read))])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def measured(
    context: Context,
    runs: Mapping[date, str],
    columns: Sequence[str] = (),
    segments: Segments = LARGER,
) -> dict[date, Labelled]:
    """Return what is known of the labels of published nights, and how good their scores were.

    Args:
        context: the pipeline.
        runs: day -> the run that is published.
        columns: columns of features, by whose values the rows are told apart as well.
        segments: which of their values.
    """
    there = {day for _, day, _ in context.warehouse.commits(SCORES)}
    alike: dict[tuple[tuple[str, ...], int], list[date]] = defaultdict(list)
    for day in runs:
        told = told_labels(context, day)
        if told and day in there:
            alike[told, _every_nth(context, day)].append(day)
    found = {day: Labelled(state=labels_state(context, day, run)) for day, run in runs.items()}
    for (told, every), days in alike.items():
        rows = _known_rows(context, days, told, every, columns)
        if rows is None:
            continue
        known = rows.toPandas()
        for day in days:
            of_day, state = known[known[DS] == day], found[day].state
            found[day] = _labelled(
                context, of_day, told, state, columns, segments, sampled=every > 1
            )
    return found


def _known_rows(
    context: Context, days: Sequence[date], told: Sequence[str], every: int, columns: Sequence[str]
) -> DataFrame | None:
    """Return ds, labels, scores and segments of the rows of which a label is there.

    A label that is known later is null, and `_later_<label>` says when, in seconds since 1970.
    None where what is published has no score of any of the labels.
    """
    keys = [DS, *context.definition.keys]
    pairs = scores_latest(context, days).join(labelled_rows(context, days, labels=told), keys)
    if every > 1:
        pairs = pairs.where(F.pmod(F.xxhash64(*keys), F.lit(every)) == 0)
    score_of = _score_columns(context)
    names = [name for name in told if score_of[name] in pairs.columns]
    if not names:  # what is published is of other labels
        return None
    if columns:
        features = context.warehouse.read(FEATURES, days)
        segments = [F.col(name).cast("string").alias(f"{SEGMENT_PREFIX}{name}") for name in columns]
        pairs = pairs.join(features.select(*keys, *segments), keys)
    now = F.lit(datetime.now(UTC))
    taken = []
    for name in names:
        label, known = F.col(label_column(name)), F.col(known_column(name))
        later = F.when(label.isNotNull() & (known > now), known.cast("timestamp").cast("bigint"))
        taken += [
            F.when(known <= now, label).alias(label_column(name)),
            later.alias(f"{_LATER}{name}"),
        ]
    rows = pairs.select(
        DS,
        *taken,
        *(score_of[name] for name in names),
        *(f"{SEGMENT_PREFIX}{name}" for name in columns),
    )
    told_columns = [c for name in names for c in (label_column(name), f"{_LATER}{name}")]
    return rows.where(F.coalesce(*(F.col(c).cast("double") for c in told_columns)).isNotNull())


def _labelled(
    context: Context,
    rows: pd.DataFrame,
    told: Sequence[str],
    state: str,
    columns: Sequence[str],
    segments: Segments,
    *,
    sampled: bool,
) -> Labelled:
    score_of, by_label = _score_columns(context), {}
    later: list[np.ndarray[Any, Any]] = []
    for name in told:
        if label_column(name) not in rows:
            continue
        times = rows[f"{_LATER}{name}"].to_numpy("float64")
        later.append(times[~np.isnan(times)])
        taken = [rows[c].to_numpy("float64") for c in (label_column(name), score_of[name])]
        taken += [rows[f"{SEGMENT_PREFIX}{column}"].to_numpy(object) for column in columns]
        label, score, *values = with_label(*taken)
        if len(label) and not np.isnan(score).all():  # else what is published is of other labels
            by_label[name] = realised(
                label,
                score,
                dict(zip(columns, values, strict=True)),
                segments=segments,
                sampled=sampled,
            )
    waiting = np.concatenate(later) if later else np.empty(0)
    return Labelled(
        state=state,
        by_label=by_label,
        later=len(waiting),
        next_known=_utc(float(waiting.min())) if len(waiting) else None,
    )


def _score_columns(context: Context) -> dict[str, str]:
    definition = context.definition
    return dict(zip(definition.label_names, definition.score_columns, strict=True))


def _every_nth(context: Context, day: date) -> int:
    features = context.warehouse.commit(FEATURES, day)
    return -(-(features.rows if features else 0) // MAX_LABELLED_ROWS)


def _utc(seconds: float) -> datetime:
    # A second is left off: a label known at half past it is known when the next look is taken.
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds + 1)
