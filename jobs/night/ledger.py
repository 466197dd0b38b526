"""The ledger: which run holds the published scores of each day, and who made it so.

Beside publications it holds *removals*: before maintenance removes the scores of a run it writes
here that it will. Publishing and removing read and write the same rows of one table, so that of two
that meet only one commits: what is published is never removed, what is being removed never
published. A removed run's id is not used again (`next_run`). A removal has sequence 0 and no
`run_id`, so that whoever looks for the newest publication of a day finds what they should.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.errors import PublishFenced, RunRemoved, WriteConflict
from feature_store.schema import DS, LEDGER, RUN_ID, SCORES
from feature_store.tables.warehouse import days_predicate
from jobs.night.publication import Publication as Publication

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context

log = logging.getLogger(__name__)

_SCHEMA = (
    "ds date, sequence bigint, publication string, run_id string, model_name string, "
    "model_version bigint, model_digest string, inputs string, rows bigint, who string, "
    "why string, published_at timestamp, checks string, notes string, removed_run string"
)
_REMOVED = "removed_run"
_ADDED = ("checks", "notes", _REMOVED)
"""Columns that tables of an earlier release lack."""

_TRIES = 10
_PAUSE_SECONDS = 0.2
"""Waited before the second try, on average; twice as long before each later one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What the ledger says of one day."""

    publications: tuple[Publication, ...] = ()
    """Oldest first."""
    removed: frozenset[str] = frozenset()
    """Runs whose scores maintenance removed, or is about to: none of them can be published."""

    @property
    def now(self) -> Publication | None:
        """What is published."""
        return self.publications[-1] if self.publications else None

    @property
    def sequence(self) -> int:
        """The newest sequence; 0 where nothing was ever published."""
        return self.publications[-1].sequence if self.publications else 0


def pasts(context: Context, days: Iterable[date] | None = None) -> dict[date, Past]:
    """Return what the ledger says of each day (of `days`, if it says anything), as of now."""
    if context.warehouse.version(LEDGER) is None:
        return {}
    wanted = None if days is None else set(days)
    if wanted is not None and not wanted:
        return {}
    publications: dict[date, list[Publication]] = {}
    removed: dict[date, set[str]] = {}
    for row in context.warehouse.days.small_rows(LEDGER):
        day, gone = row[DS], row.pop(_REMOVED, None)
        if wanted is not None and day not in wanted:
            continue
        if gone is not None:
            removed.setdefault(day, set()).add(gone)
        else:
            known = {name: value for name, value in row.items() if value is not None}
            publications.setdefault(day, []).append(Publication(**known))
    return {
        day: Past(
            publications=tuple(sorted(publications.get(day, []), key=lambda p: p.sequence)),
            removed=frozenset(removed.get(day, ())),
        )
        for day in sorted({*publications, *removed})
    }


def next_run(name: str, removed: Collection[str]) -> str:
    """Return the id under which a run is scored: its name, or with a number once it was removed."""
    found, number = name, 1
    while found in removed:
        number += 1
        found = f"{name}-{number}"
    return found


def is_same_work(run_id: str, other: str) -> bool:
    """Whether two runs are of the same day, model and inputs, one perhaps scored again."""
    return run_id.partition("-")[0] == other.partition("-")[0]


def history(context: Context, days: Iterable[date] | None = None) -> list[Publication]:
    """Return every publication (of `days`), oldest first per day, as of now."""
    return [p for past in pasts(context, days).values() for p in past.publications]


def current(context: Context, days: Iterable[date] | None = None) -> dict[date, Publication]:
    """Return what is published now, by day."""
    return {p.ds: p for p in history(context, days)}


def earlier_runs(past: Sequence[Publication]) -> list[Publication]:
    """Return what a day can be rolled back to, nearest first: one publication per run.

    Those are the runs published before the current one was first: going back once more goes
    further back, and never to what a rollback left.

    Args:
        past: every publication of one day, oldest first; at least one.
    """
    now = past[-1]
    first = next(p.sequence for p in past if p.run_id == now.run_id)
    latest = {p.run_id: p for p in past if p.sequence < first}
    return sorted(latest.values(), key=lambda p: p.sequence, reverse=True)


def scores_latest(context: Context, days: Iterable[date] | None = None) -> DataFrame:
    """Return the published scores: ds, run_id, keys, scores, model_version, published_at.

    Exactly the rows of the newest publication of each day.
    """
    wanted = None if days is None else list(days)
    ledger = context.warehouse.read(LEDGER, wanted)
    newest = Window.partitionBy(DS).orderBy(F.col("sequence").desc())
    published = (
        ledger.where("sequence > 0")
        .withColumn("_rank", F.row_number().over(newest))
        .where("_rank = 1")
        .select(DS, RUN_ID, "model_name", "model_version", "published_at")
    )
    # As they are now, after the ledger was: what it names may have been written by another driver
    # since this one last looked.
    scores = context.warehouse.read(SCORES, wanted, context.warehouse.version(SCORES))
    return scores.join(F.broadcast(published), [DS, RUN_ID])


def insert(
    context: Context, rows: Sequence[Publication]
) -> dict[date, Publication | PublishFenced | RunRemoved]:
    """Insert each row whose day has no publication of that sequence or later, and its run is there.

    The table has no partitions: with one a day every look at it would open a file for each day that
    was ever published. So any two that publish at the same moment are in conflict, be it for
    different days. A conflict says no more than that: what is still free is tried again, after a
    pause of random length, a bounded number of times.
    """
    outcome: dict[date, Publication | PublishFenced | RunRemoved] = {}
    for attempt in range(_TRIES):
        left = [row for row in rows if row.ds not in outcome]
        if not left:
            break
        _pause(attempt)
        found = [tuple(getattr(row, n) for n in Publication.__dataclass_fields__) for row in left]
        condition = f"t.sequence >= s.sequence OR t.{_REMOVED} = s.{RUN_ID}"
        _insert_unless(context, [(*values, None) for values in found], condition)
        now = pasts(context, [row.ds for row in left])
        for row in left:
            result = _outcome(context, row, now.get(row.ds, Past()))
            if result is not None:
                outcome[row.ds] = result
    lost = [row for row in rows if row.ds not in outcome]
    if lost:
        raise _lost(context, lost[0].ds)
    for row in rows:
        log.info("step=publish ds=%s run_id=%s sequence=%d", row.ds, row.run_id, row.sequence)
    return outcome


def announce_removal(
    context: Context, day: date, run_id: str, *, rows: int, seen: int, who: str, why: str
) -> bool:
    """Write down that the scores of a run will be removed; False if they have to stay.

    From then on the run cannot be published, so that its scores can be removed at any later time.

    Args:
        context: the pipeline.
        day: the day of the run.
        run_id: a run that was not published when the ledger was looked at.
        rows: its scores.
        seen: the day's newest sequence when the ledger was looked at. If something was published
            since, perhaps this run, nothing is written.
        who: the person or service that asked.
        why: the reason, for the record.
    """
    now = datetime.now(UTC)
    row = (
        *(day, 0, uuid.uuid4().hex, None, "", 0, "", "", rows, who, why, now),
        *("", "", run_id),
    )
    condition = f"t.sequence > {int(seen)} OR t.{_REMOVED} = s.{_REMOVED}"
    for attempt in range(_TRIES):
        _pause(attempt)
        _insert_unless(context, [row], condition)
        past = pasts(context, [day]).get(day, Past())
        if run_id in past.removed:
            return True
        if past.sequence > seen:
            return False
    raise _lost(context, day)


def _pause(attempt: int) -> None:
    """Wait before another try, for a random time that grows with the tries."""
    if attempt:
        time.sleep(random.uniform(0, _PAUSE_SECONDS * 2 ** min(attempt, 5)))  # noqa: S311


def _insert_unless(context: Context, rows: Sequence[tuple[object, ...]], condition: str) -> None:
    """Insert the rows of whose day no row fulfils the condition; none if others wrote meanwhile."""
    frame = context.spark.createDataFrame(rows, _SCHEMA).coalesce(1)
    days = days_predicate(row[0] for row in rows).replace(DS, f"t.{DS}")  # type: ignore[misc]
    with suppress(WriteConflict):
        _widen(context)
        on = f"({days}) AND t.{DS} = s.{DS} AND ({condition})"
        context.warehouse.insert_unless(LEDGER, frame, on, [])


def _widen(context: Context) -> None:
    """Give a ledger of an earlier release the columns that came since."""
    version = context.warehouse.version(LEDGER)
    if version is None:
        return
    have = context.warehouse.read(LEDGER, version=version).columns
    if not set(_ADDED) <= set(have):
        context.warehouse.append(LEDGER, context.spark.createDataFrame([], _SCHEMA))


def _outcome(
    context: Context, row: Publication, past: Past
) -> Publication | PublishFenced | RunRemoved | None:
    """Return how a publication ended that was just tried; None if it is still to be tried."""
    winner = past.now
    if winner is not None and winner.sequence >= row.sequence:
        is_mine = winner.publication == row.publication
        return winner if is_mine else settle(context, row.run_id, winner)
    if row.run_id in past.removed:
        return RunRemoved(
            f"{context.definition.name} ds={row.ds}: maintenance removed the scores of run "
            f"{row.run_id} before they were published. Run again: they are made anew"
        )
    return None


def _lost(context: Context, day: date) -> WriteConflict:
    return WriteConflict(
        f"{context.definition.name}.ledger ds={day}: {_TRIES} tries met other writers. Run again"
    )


def settle(context: Context, run_id: str, winner: Publication) -> Publication | PublishFenced:
    """Return the winner's publication if it is of the same run, else what to tell the loser."""
    if winner.run_id == run_id:
        return winner
    return PublishFenced(
        f"{context.definition.name} ds={winner.ds}: run {run_id} was overtaken: run "
        f"{winner.run_id} (model version {winner.model_version}) was published by {winner.who} "
        f"at {winner.published_at:%Y-%m-%d %H:%M:%S} UTC ({winner.why}). Nothing was changed. "
        "Run again with --force to publish over it"
    )
