"""How nights ended: from the ledger and the record of runs, without Spark."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from feature_store.errors import UsageError
from feature_store.tables.reader import Reader
from jobs.night.published import publications
from jobs.night.runs import past_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feature_store.definition import Definition
    from feature_store.home import Home
    from jobs.night.publication import Publication
    from jobs.night.runs import RunRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class NightStatus:
    """How one night of a pipeline stands."""

    pipeline: str
    ds: date
    status: Literal["published", "failed", "not run"]
    deadline: str
    """`on time`, `late by …`, `overdue by …` or `due in …`, of the day's first publication."""
    is_late: bool
    run_id: str = ""
    rows: int = 0
    model_name: str = ""
    model_version: int = 0
    published_at: str = ""
    seconds: float = 0.0
    """Wall seconds of the latest run of the day that is on record; 0 where none is."""
    note: str = ""
    """What the latest attempt failed with; or who published the day, and why."""


def night_statuses(
    home: Home, definition: Definition, nights: int, ds: date | None = None
) -> list[NightStatus]:
    """Return the last nights of a pipeline that ran or were left out between others, oldest first.

    Args:
        home: where the tables lie.
        definition: the pipeline.
        nights: how many at most.
        ds: only this day, whether or not anything ran; nothing where the pipeline lacks it.

    Raises:
        UsageError: the home is an object store, whose record of runs is not kept.
    """
    if not home.is_local:
        raise UsageError(
            f"NIGHTSCORE_HOME={home.root!r}: status reads a local home. For an object store ask "
            f"for the page of a night: nightscore report --pipeline {definition.name} --ds …"
        )
    if ds is not None and not _has(definition, ds):
        return []
    past: dict[date, list[Publication]] = {}
    wanted = None if ds is None else [ds]
    for publication in publications(Reader(home, definition.name), wanted):
        past.setdefault(publication.ds, []).append(publication)
    runs: dict[date, RunRecord] = {}
    for run in past_runs(home, definition.name):
        if run.kind in ("night", "score", "backfill", "step"):
            runs |= {date.fromisoformat(day): run for day in run.days}
    days = [ds] if ds is not None else _days(definition, {*past, *runs}, nights)
    now = datetime.now(UTC)
    return [_status(definition, day, past.get(day, []), runs.get(day), now) for day in days]


def due_at(definition: Definition, ds: date) -> datetime:
    """Return when the scores of a day are due: so many hours after its cut-off."""
    hours = definition.cutoff_hours + definition.deadline_hours
    return datetime(ds.year, ds.month, ds.day, tzinfo=UTC) + timedelta(hours=hours)


def _has(definition: Definition, ds: date) -> bool:
    ended = definition.last_day is not None and ds > definition.last_day
    return ds >= definition.first_day and not ended and ds not in definition.absent_days


def _days(definition: Definition, known: set[date], nights: int) -> Sequence[date]:
    """Return the newest days that are known, and those between them that nobody tried."""
    if not known:
        return []
    newest = max(known)
    span = [newest - timedelta(days=n) for n in range(nights)]
    return sorted(day for day in span if day >= min(known) and _has(definition, day))


def _status(
    definition: Definition,
    ds: date,
    past: Sequence[Publication],
    run: RunRecord | None,
    now: datetime,
) -> NightStatus:
    due = due_at(definition, ds)
    error = _error(run, ds)
    seconds = run.seconds if run is not None else 0.0
    if not past:
        left = due - now
        return NightStatus(
            pipeline=definition.name, ds=ds, status="failed" if error else "not run",
            deadline=f"due in {_span(left)}" if now < due else f"overdue by {_span(-left)}",
            is_late=now >= due, seconds=seconds, note=error,
        )  # fmt: skip
    first, last = past[0], past[-1]
    is_late = first.published_at > due
    after = f"the latest attempt ended with: {error}" if error else f"{last.who}: {last.why}"
    return NightStatus(
        pipeline=definition.name, ds=ds, status="published",
        deadline=f"late by {_span(first.published_at - due)}" if is_late else "on time",
        is_late=is_late, run_id=last.run_id, rows=last.rows, model_name=last.model_name,
        model_version=last.model_version, seconds=seconds, note=after,
        published_at=last.published_at.isoformat(timespec="seconds"),
    )  # fmt: skip


def _error(run: RunRecord | None, ds: date) -> str:
    """Return what the latest run of a day failed with, or nothing."""
    if run is None or run.days[ds.isoformat()] in ("published", "already published", "done"):
        return ""
    return run.error or run.days[ds.isoformat()]


def _span(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // (24 * 60)} days"
