"""The table `refused` of a stream: deliveries that could not be used, while earlier ones are.

A row stands for as long as the source holds what was refused. So nobody reads the same broken file
again every night, a plan can say that the day is as good as it can be, and a page made later knows.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from feature_store.schema import REFUSED, beside, kind_of, stream_table
from jobs.night.outdated import retried

if TYPE_CHECKING:
    from feature_store.errors import NightscoreError
    from feature_store.tables.inputs import Inputs
    from jobs.context import Context

log = logging.getLogger(__name__)

EARLIER_USED = "late input (bad redelivery; earlier version used)"
"""Why a day is fresh although its source changed."""

_TABLE = "refused_table"
_SCHEMA = f"ds date, {_TABLE} string, error string, why string, refused_at timestamp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """One delivery that could not be used."""

    ds: date
    table: str
    """The table that its rows were for: events, or that of a lookup."""
    why: str

    def __str__(self) -> str:
        return f"{self.table} {self.ds}: bad redelivery, earlier version used: {self.why}"


def has_earlier(context: Context, table: str, day: date) -> bool:
    """Whether an earlier delivery of a day is there, as it was taken in, and can be used."""
    commit = context.warehouse.commit(table, day)
    return commit is not None and not commit.foreign


def is_refused(context: Context, table: str, day: date, inputs: Inputs) -> bool:
    """Whether exactly this delivery of a day was refused before."""
    commit = context.warehouse.commit(beside(table, REFUSED), day, kind_of(table))
    return commit is not None and commit.rows > 0 and commit.inputs == inputs


def refuse(
    context: Context,
    table: str,
    inputs: Mapping[date, Inputs],
    errors: Mapping[date, NightscoreError],
) -> None:
    """Write down why deliveries were refused, those that are not yet written down.

    Args:
        context: the pipeline.
        table: the table that their rows were for.
        inputs: what each day would have been made of.
        errors: what was wrong, of the same days.
    """
    new = [d for d in sorted(errors) if not is_refused(context, table, d, inputs[d])]
    now = datetime.now(UTC)
    kind = kind_of(table)
    rows = [(d, kind, type(errors[d]).__name__, str(errors[d]), now) for d in new]
    _replace(context, table, {day: inputs[day] for day in new}, rows)


def accept(context: Context, table: str, inputs: Mapping[date, Inputs]) -> None:
    """Take back what was refused of days whose source holds something good now."""
    standing = _standing(context, beside(table, REFUSED))
    taken_back = {day: now for day, now in inputs.items() if (table, day) in standing}
    _replace(context, table, taken_back, [])


def refusals(context: Context, wanted: Collection[tuple[str, date]] | None = None) -> list[Refusal]:
    """Return what stands refused, of these (table, day) or of all, in the order of days."""
    streams = context.definition.all_streams
    found = list[Refusal]()
    for kept_in in (stream_table(stream.name, REFUSED) for stream in streams):
        standing = _standing(context, kept_in)
        if wanted is not None:
            standing = standing.intersection(wanted)
        if standing:
            rows = context.warehouse.read(kept_in, {day for _, day in standing}).collect()
            told = (
                Refusal(ds=row["ds"], table=beside(kept_in, row[_TABLE]), why=row["why"])
                for row in rows
            )
            found += [refusal for refusal in told if (refusal.table, refusal.ds) in standing]
    return sorted(found, key=lambda r: (r.ds, r.table))


def _standing(context: Context, kept_in: str) -> set[tuple[str, date]]:
    """Return the (table, day) of every delivery that stands refused, from one look at the table."""
    commits = context.warehouse.commits(kept_in)
    return {(beside(kept_in, kind), day) for (_, day, kind), c in commits.items() if c.rows}


def _replace(
    context: Context, table: str, inputs: Mapping[date, Inputs], rows: Iterable[tuple[object, ...]]
) -> None:
    if inputs:
        retried(
            lambda: context.warehouse.replace_runs(
                beside(table, REFUSED),
                context.spark.createDataFrame(list(rows), _SCHEMA),
                {(day, kind_of(table)): made_of for day, made_of in inputs.items()},
                run_column=_TABLE,
            )
        )
