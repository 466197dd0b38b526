"""`maintain`: compaction, clean-up of runs nobody reads, and deletion of files nobody needs.

Nothing here changes a published score or a pin; models and training sets are for
`jobs.maintenance.models`. Days that a backfill works on are left alone; a run that a night
publishes at the very moment of its removal is noticed by `jobs.night.publish`, which says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from feature_store.schema import (
    CLAIMS,
    EVENTS,
    FEATURES,
    LEDGER,
    LINEAGE,
    PLANS,
    QUALITY,
    QUARANTINE,
    SCORES,
    TILES,
    lookup_table,
)
from jobs.backfill.claims import Claims
from jobs.maintenance.compaction import compact
from jobs.night.ledger import earlier_runs, history

if TYPE_CHECKING:
    from datetime import date

    from feature_store.tables.commits import DayCommit
    from jobs.context import Context
    from jobs.night.ledger import Publication

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept."""

    runs_per_day: int = 2
    """Published runs kept per day: the current one, and those one can roll back to."""
    staged_hours: float = 24.0
    """A run staged longer ago than this and never published belongs to a night that failed."""
    file_hours: float = 168.0
    """Files that no version of the last so many hours needs are deleted."""
    is_search: bool = False
    """Whether folders are searched for files that no log names, as killed writes leave them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Maintained:
    """What was cleaned up, or would be."""

    runs_removed: tuple[str, ...]
    """`ds run_id` of every run whose scores were removed."""
    tables: tuple[str, ...]
    """Tables compacted and swept."""


def maintain(
    context: Context, retention: Retention, on_progress: Callable[[str], None], *, dry_run: bool
) -> Maintained:
    """Clean up the tables of a pipeline; with `dry_run` only say what would be done."""
    tables = [table for table in _tables(context) if context.warehouse.version(table) is not None]
    if dry_run:
        surplus = surplus_runs(context, retention)
    else:
        surplus = _remove_surplus(context, retention, on_progress)
        for table in tables:
            on_progress(_tidied(context, table, retention))
    log.info(
        "step=maintain pipeline=%s runs=%d tables=%d dry_run=%d",
        context.definition.name,
        len(surplus),
        len(tables),
        dry_run,
    )
    return Maintained(
        runs_removed=tuple(f"{commit.ds} {commit.run_id}" for commit in surplus),
        tables=tuple(tables),
    )


def _remove_surplus(
    context: Context, retention: Retention, on_progress: Callable[[str], None]
) -> list[DayCommit]:
    """Remove the surplus runs of the days that nobody works on, and return them."""
    days = sorted({commit.ds for commit in surplus_runs(context, retention)})
    claims = Claims(context, "maintenance", "removing surplus runs")
    held = claims.take(days)
    for day, claim in held.items():
        on_progress(f"{day} is left alone: held by {claim}")
    mine = [day for day in days if day not in held]
    try:
        # Looked up again: what was published before the days were claimed is no longer surplus.
        surplus = [commit for commit in surplus_runs(context, retention) if commit.ds in set(mine)]
        for commit in surplus:
            _remove(context, commit)
            on_progress(f"removed scores of {commit.ds} run {commit.run_id}: {commit.rows} rows")
    finally:
        claims.release(mine)
    return surplus


def surplus_runs(context: Context, retention: Retention) -> list[DayCommit]:
    """Return the runs whose scores nobody reads: never published and old, or long replaced."""
    past_of: dict[date, list[Publication]] = {}
    for publication in history(context):
        past_of.setdefault(publication.ds, []).append(publication)
    published = {(p.ds, p.run_id) for past in past_of.values() for p in past}
    kept = {
        (p.ds, p.run_id)
        for past in past_of.values()
        for p in [past[-1], *earlier_runs(past)][: retention.runs_per_day]
    }
    oldest = datetime.now(UTC) - timedelta(hours=retention.staged_hours)
    commits = [c for c in context.warehouse.commits(SCORES).values() if c.rows > 0]
    return [
        c
        for c in sorted(commits, key=lambda c: (c.ds, c.version))
        if (c.ds, c.run_id) not in kept
        and ((c.ds, c.run_id) in published or c.committed_at < oldest)
    ]


def _remove(context: Context, commit: DayCommit) -> None:
    """Replace a run's scores by none: the commit says so, and the run counts as not staged."""
    empty = context.warehouse.read(SCORES, [commit.ds]).where("false")
    context.warehouse.replace_days(
        SCORES, empty, {commit.ds: commit.inputs}, runs={commit.ds: commit.run_id}
    )


def _tidied(context: Context, table: str, retention: Retention) -> str:
    """Compact what is crowded, delete old files, and return what was done."""
    found = compact(context, table)
    context.warehouse.vacuum(table, retention.file_hours, is_search=retention.is_search)
    if found.days:
        return f"{table}: {len(found.days)} days compacted, old files deleted"
    return f"{table}: {'compacted, ' if found.is_whole else ''}old files deleted"


def _tables(context: Context) -> list[str]:
    lookups = [lookup_table(lookup.name) for lookup in context.definition.lookups]
    kept_by_day = [EVENTS, QUARANTINE, *lookups, TILES, FEATURES, SCORES, QUALITY]
    return [*kept_by_day, LEDGER, LINEAGE, PLANS, CLAIMS]
