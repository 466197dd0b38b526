"""A day with events and nothing to score: what became known too late, when, and what decides it.

A row is scored on its day if its keys were known before the day's cut-off. A source that gives
other times than the definition thinks, or a cut-off that is too early, leaves none of them: that
is never passed over, and nothing is gained by running the day again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from feature_store.errors import NothingKnown, PartitionNotReady
from feature_store.events.cutoff import cutoff_column
from feature_store.schema import DS, FEATURES

if TYPE_CHECKING:
    from jobs.context import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownLate:
    """When the rows of a day became known, by the column that decides it."""

    rows: int
    late: int
    """Rows whose keys were not known before the cut-off, or never."""
    column: str
    """The known-at column that keeps most rows out."""
    earliest: datetime | None
    typical: datetime | None
    """The median; None where no row has a time."""


def unknown_days(context: Context, days: Sequence[date]) -> list[date]:
    """Return the days whose features are there and have no row."""
    commits = context.warehouse.commits(FEATURES)
    found = {day: commits.get((FEATURES, day, "")) for day in days}
    return [day for day, commit in found.items() if commit is not None and not commit.rows]


def why_unknown(context: Context, days: Sequence[date]) -> dict[date, NothingKnown]:
    """Return of each of these days, which have no row of features, why: from one look at events."""
    late = known_late(context, days) if days and context.definition.stream else {}
    return {day: NothingKnown(_text(context, day, late.get(day))) for day in days}


def require_known(context: Context, days: Sequence[date]) -> None:
    """Do nothing if every day has a row to score.

    Raises:
        PartitionNotReady: there are no features of some day.
        NothingKnown: a day has none; says how many events were known too late.
    """
    commits = context.warehouse.commits(FEATURES)
    missing = [day for day in days if (FEATURES, day, "") not in commits]
    if missing:
        name = context.definition.name
        step = f"Run: nightscore prepare --pipeline {name} --from {missing[0]} --to {missing[-1]}"
        raise PartitionNotReady(FEATURES, missing, step)
    for error in why_unknown(context, unknown_days(context, days)).values():
        raise error


def known_late(context: Context, days: Sequence[date]) -> Mapping[date, KnownLate]:
    """Return, for each of the days that has events, when what decides over its rows was known."""
    definition, row = context.definition, context.definition.row
    groups = sorted({row.column(key).known for key in row.keys})
    cutoff = cutoff_column(definition.cutoff_hours)
    figures = []
    for group in groups:
        at = F.col(row.known(group).at)
        is_late = ~F.coalesce(at < cutoff, F.lit(False))
        # As whole seconds since 1970: they come back as they are, whatever zone Python is in.
        seconds = at.cast("timestamp").cast("bigint")
        figures += [
            F.sum(is_late.cast("bigint")).alias(f"{group}_late"),
            F.min(seconds).alias(f"{group}_earliest"),
            F.percentile_approx(seconds, 0.5).alias(f"{group}_typical"),
        ]
    events = context.warehouse.read(context.events, days)
    rows = events.groupBy(DS).agg(F.count(F.lit(1)).alias("_rows"), *figures).collect()
    return {row[DS]: _known_late(context, row.asDict(), groups) for row in rows}


def _known_late(context: Context, row: dict[str, Any], groups: Sequence[str]) -> KnownLate:
    worst = max(groups, key=lambda group: row[f"{group}_late"])
    return KnownLate(
        rows=row["_rows"],
        late=row[f"{worst}_late"],
        column=context.definition.row.known(worst).at,
        earliest=_utc(row[f"{worst}_earliest"]),
        typical=_utc(row[f"{worst}_typical"]),
    )


def _utc(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(0, seconds)


def _text(context: Context, day: date, found: KnownLate | None) -> str:
    definition = context.definition
    what = f"{definition.name} ds={day}: there is nothing to score"
    if definition.stream is None:
        told = ", ".join(side.stream.name for side in definition.spine.sides)
        return (
            f"{what}: no entity of the spine was told of in time in the days before it, of {told}. "
            "Have what is missing delivered, or look further back: days of the spine"
        )
    if found is None:
        return f"{what}: the day has no events. Have it delivered again and run it again"
    cutoff = definition.cutoff(day)
    told = (
        f"{what}: {found.late:,} of {found.rows:,} events were not known before the cut-off, "
        f"{cutoff:%Y-%m-%d %H:%M} UTC (cutoff_hours={definition.cutoff_hours}), by the column "
        f"{found.column}"
    )
    if found.typical is None or found.earliest is None or found.typical < cutoff:
        return f"{told}, which holds no time for them. Have the source fill it"
    hours = math.floor((found.typical - cutoff).total_seconds() / 3600) + 1
    return (
        f"{told}: the earliest at {found.earliest:%Y-%m-%d %H:%M}, half of them by "
        f"{found.typical:%Y-%m-%d %H:%M} UTC. If those times are right, the day can only be "
        f"scored later: from cutoff_hours={definition.cutoff_hours + hours} on the definition "
        f"takes in the first half of the rows. If they are wrong, correct {found.column} at the "
        "source, or name the right column in the definition"
    )
