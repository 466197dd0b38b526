"""`maintain`: compaction, clean-up of runs nobody reads, and deletion of files nobody needs.

Nothing here changes a published score or a pin. A training set is a copy of its own and is never
touched, so a model can always be traced to the rows it learned from.
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
from jobs.ledger import history

if TYPE_CHECKING:
    from feature_store.lineage import DayCommit
    from jobs.context import Context

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
    surplus = surplus_runs(context, retention)
    tables = [table for table in _tables(context) if context.warehouse.version(table) is not None]
    if not dry_run:
        for commit in surplus:
            _remove(context, commit)
            on_progress(f"removed scores of {commit.ds} run {commit.run_id}: {commit.rows} rows")
        for table in tables:
            context.warehouse.compact(table)
            context.warehouse.vacuum(table, retention.file_hours)
            on_progress(f"{table}: compacted and swept")
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


def surplus_runs(context: Context, retention: Retention) -> list[DayCommit]:
    """Return the runs whose scores nobody reads: never published and old, or long replaced."""
    kept: set[tuple[object, str]] = set()
    published: set[tuple[object, str]] = set()
    newest_first = reversed(history(context))
    runs_of_day: dict[object, list[str]] = {}
    for publication in newest_first:
        runs = runs_of_day.setdefault(publication.ds, [])
        if publication.run_id not in runs:
            runs.append(publication.run_id)
            published.add((publication.ds, publication.run_id))
            if len(runs) <= retention.runs_per_day:
                kept.add((publication.ds, publication.run_id))
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


def _tables(context: Context) -> list[str]:
    lookups = [lookup_table(lookup.name) for lookup in context.definition.lookups]
    kept_by_day = [EVENTS, QUARANTINE, *lookups, TILES, FEATURES, SCORES, QUALITY]
    return [*kept_by_day, LEDGER, LINEAGE, PLANS, CLAIMS]
