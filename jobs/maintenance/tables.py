"""`maintain`: compaction, clean-up of runs nobody reads, and deletion of files nobody needs.

Nothing here changes a published score or a pin; models and training sets are for
`jobs.maintenance.models`. Days that a backfill works on are left alone. A night may publish at any
moment: before scores are removed the ledger says that they will be, in the protocol by which it
takes publications, so that what is published meanwhile stays (`jobs.night.ledger`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
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
    REFUSED,
    RELEASED,
    SCORES,
    TILES,
    stream_table,
)
from jobs.backfill.claims import Claims
from jobs.maintenance.compaction import compact
from jobs.maintenance.old_tables import old_tables, remove_old_tables
from jobs.night.ledger import Past, announce_removal, earlier_runs, pasts

if TYPE_CHECKING:
    from datetime import date

    from feature_store.tables.commits import DayCommit
    from jobs.context import Context

log = logging.getLogger(__name__)

_WHO = "maintenance"


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What is kept."""

    runs_per_day: int = 2
    """Published runs kept per day: the current one, and those one can roll back to."""
    staged_hours: float = 24.0
    """A run staged longer ago than this and never published belongs to a night that failed."""
    file_hours: float = 168.0
    """Files that no version of the last so many hours needs are deleted; so are tables from before
    a column changed its type, of which nothing counted in these hours."""
    is_search: bool = False
    """Whether folders are searched for files that no log names, as killed writes leave them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Maintained:
    """What was cleaned up, or would be."""

    runs_removed: tuple[str, ...]
    """`ds run_id` of every run whose scores were removed."""
    tables: tuple[str, ...]
    """Tables compacted and swept."""
    tables_removed: tuple[str, ...] = ()
    """Folders of tables from before a column changed its type, all whose days were made anew."""


def maintain(
    context: Context, retention: Retention, on_progress: Callable[[str], None], *, dry_run: bool
) -> Maintained:
    """Clean up the tables of a pipeline and its streams; with `dry_run` say what would be done."""
    tables = [table for table in _tables(context) if context.warehouse.version(table) is not None]
    if dry_run:
        surplus = surplus_runs(context, retention)
        replaced = old_tables(context, tables, retention.file_hours)
    else:
        surplus = remove_surplus(context, retention, on_progress)
        replaced = remove_old_tables(context, tables, retention.file_hours, on_progress)
        for table in tables:
            on_progress(_tidied(context, table, retention))
    log.info(
        "step=maintain pipeline=%s runs=%d tables=%d tables_removed=%d dry_run=%d",
        context.definition.name, len(surplus), len(tables), len(replaced), dry_run,
    )  # fmt: skip
    return Maintained(
        runs_removed=tuple(f"{commit.ds} {commit.run_id}" for commit in surplus),
        tables=tuple(tables),
        tables_removed=tuple(replaced),
    )


def remove_surplus(
    context: Context, retention: Retention, on_progress: Callable[[str], None]
) -> list[DayCommit]:
    """Remove the surplus runs of the days that nobody works on, and return them."""
    removed = []
    claims = Claims(context, _WHO, "removing surplus runs")
    for day in sorted({commit.ds for commit in surplus_runs(context, retention)}):
        held = claims.take([day])
        if held:
            on_progress(f"{day} is left alone: held by {held[day]}")
            continue
        try:
            removed += _remove_of_day(context, retention, day, on_progress)
        finally:
            claims.release([day])
    return removed


def _remove_of_day(
    context: Context, retention: Retention, day: date, on_progress: Callable[[str], None]
) -> list[DayCommit]:
    """Remove the surplus runs of a day one by one; one that is being published stays."""
    removed = []
    # Looked up again: what was published before the day was claimed is no longer surplus.
    past = pasts(context, [day]).get(day, Past())
    for commit in _surplus_of(past, _staged(context, [day]), retention):
        why = f"runs kept per day: {retention.runs_per_day}"
        is_announced = announce_removal(
            context, day, commit.run_id, rows=commit.rows, seen=past.sequence, who=_WHO, why=why
        )
        if not is_announced:
            on_progress(f"{day} is left alone: something was published just now")
            break
        _remove(context, commit)
        on_progress(f"removed scores of {day} run {commit.run_id}: {commit.rows} rows")
        removed.append(commit)
    return removed


def surplus_runs(context: Context, retention: Retention) -> list[DayCommit]:
    """Return the runs whose scores nobody reads: never published and old, or long replaced."""
    # First what is staged, then what is published: never the other way round, or a run that was
    # published in between would be taken for one that failed.
    staged = _staged(context)
    past = pasts(context)
    by_day: dict[date, list[DayCommit]] = {}
    for commit in staged:
        by_day.setdefault(commit.ds, []).append(commit)
    return [
        commit
        for day, commits in sorted(by_day.items())
        for commit in _surplus_of(past.get(day, Past()), commits, retention)
    ]


def _staged(context: Context, days: Collection[date] | None = None) -> list[DayCommit]:
    """Return the runs that have scores (of `days`)."""
    found = context.warehouse.commits(SCORES).values()
    return [c for c in found if c.rows > 0 and (days is None or c.ds in days)]


def _surplus_of(past: Past, commits: Iterable[DayCommit], retention: Retention) -> list[DayCommit]:
    """Return the surplus among the runs of one day, oldest first."""
    published = {p.run_id for p in past.publications}
    kept: set[str] = set()
    if past.now is not None:
        runs = [p.run_id for p in (past.now, *earlier_runs(past.publications))]
        # To one whose removal was announced nobody can go back.
        kept = set([run for run in runs if run not in past.removed][: retention.runs_per_day])
    oldest = datetime.now(UTC) - timedelta(hours=retention.staged_hours)
    return [
        c
        for c in sorted(commits, key=lambda c: c.version)
        if c.run_id not in kept
        # A removal that was announced and not finished is finished now.
        and (c.run_id in past.removed or c.run_id in published or c.committed_at < oldest)
    ]


def _remove(context: Context, commit: DayCommit) -> None:
    """Replace a run's scores by none: the commit says so, and the run counts as not staged."""
    # In the types of the newest table: a day that lies in several may come in others, as text.
    empty = context.warehouse.read(SCORES).where("false")
    context.warehouse.replace_runs(SCORES, empty, {(commit.ds, commit.run_id): commit.inputs})


def _tidied(context: Context, table: str, retention: Retention) -> str:
    """Compact what is crowded, delete old files, and return what was done."""
    found = compact(context, table)
    context.warehouse.vacuum(table, retention.file_hours, is_search=retention.is_search)
    if found.days:
        return f"{table}: {len(found.days)} days compacted, old files deleted"
    return f"{table}: {'compacted, ' if found.is_whole else ''}old files deleted"


def _tables(context: Context) -> list[str]:
    of_streams = [
        stream_table(stream.name, table)
        for stream in context.definition.all_streams
        for table in (EVENTS, QUARANTINE, TILES, REFUSED, RELEASED)
    ]
    own = [FEATURES, SCORES, QUALITY, LEDGER, LINEAGE, PLANS, CLAIMS]
    return [*of_streams, *own]
