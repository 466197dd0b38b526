"""Realised quality as a table: a row for each night and label, and for each segment asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from feature_store.errors import NightscoreError, UsageError
from jobs.report.bands import Limits, faults, gate_limits
from jobs.report.realised import Segments, without_nan

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.report.nights import Labelled
    from jobs.report.realised import Quality

NIGHTS_AT_ONCE = 14
"""Nights whose labelled rows are held in memory together."""


def check_column(definition: Definition, column: str) -> None:
    """Do nothing if rows can be told apart by a column.

    Raises:
        UsageError: the features have none of that name; says which they have.
    """
    known = {*definition.keys, *definition.categorical_names(), *definition.numeric_names()}
    if column not in known:
        raise UsageError(
            f"--by={column!r}: is no column of the features of {definition.name}; there are "
            f"{', '.join(sorted(known))}"
        )


def realised_rows(
    context: Context, days: Sequence[date], column: str, min_rows: int
) -> Iterator[dict[str, Any]]:
    """Yield how good the published scores of days were, oldest first, ready for JSON.

    Args:
        context: the pipeline.
        days: of these, the nights that are published.
        column: a column of features, by whose values the rows are told apart; empty: none.
        min_rows: values of fewer labelled rows are left out.

    Raises:
        NightscoreError: nothing is published of any of the days.
    """
    from jobs.night.ledger import current
    from jobs.report.labelled import measured

    published = current(context, days)
    if not published:
        name = context.definition.name
        raise NightscoreError(
            f"{name}: nothing is published from {days[0]} to {days[-1]}, so there is no quality to "
            f"tell. Run: nightscore run --pipeline {name} --ds {days[0]}"
        )
    segments = Segments(min_rows=min_rows, most=10_000)
    nights = sorted(published)
    for start in range(0, len(nights), NIGHTS_AT_ONCE):
        part = {day: published[day] for day in nights[start : start + NIGHTS_AT_ONCE]}
        runs = {day: p.run_id for day, p in part.items()}
        found = measured(context, runs, [column] if column else [], segments)
        for day, p in part.items():
            yield from rows_of(context.definition, p, found[day], column)


def rows_of(
    definition: Definition, published: Publication, labelled: Labelled, column: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one night: of each label, and of each of its segments where asked for."""
    night = {
        "pipeline": definition.name,
        "ds": published.ds.isoformat(),
        "run_id": published.run_id,
        "model": f"{published.model_name} {published.model_version}",
        "scores": published.rows,
        "labels_later": labelled.later,
    }
    for label in definition.label_names:
        found = labelled.by_label.get(label)
        if found is None:
            yield {**night, "label": label, "rows": 0}
            continue
        limits = gate_limits(definition.gate, label)
        whole = {**night, "label": label, "sampled": found.sampled}
        yield {**whole, **_numbers(found.quality, limits, labelled)}
        for segment in found.segments if column else ():
            where = {"column": segment.column, "value": segment.value}
            yield {**whole, **where, **_numbers(segment.quality, limits, labelled)}


def _numbers(quality: Quality, limits: Limits, labelled: Labelled) -> Mapping[str, Any]:
    """Return the numbers, those that are not defined as null, and what breaks a limit."""
    broken = [fault.kind for fault in faults(quality, limits)] if labelled.is_whole else []
    return {**without_nan(asdict(quality)), "against": broken}
