"""The ledger: which run holds the published scores of each day, and who made it so."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.errors import PublishFenced, WriteConflict
from feature_store.schema import DS, LEDGER, RUN_ID, SCORES
from feature_store.tables.rows import fields_utc
from feature_store.tables.warehouse import days_predicate
from jobs.night.publication import Publication as Publication

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context

log = logging.getLogger(__name__)

_SCHEMA = (
    "ds date, sequence bigint, publication string, run_id string, model_name string, "
    "model_version bigint, model_digest string, inputs string, rows bigint, who string, "
    "why string, published_at timestamp"
)


_TRIES = 10
_PAUSE_SECONDS = 0.2
"""Waited before the second try, on average; twice as long before each later one."""


def history(context: Context, days: Iterable[date] | None = None) -> list[Publication]:
    """Return every publication (of `days`), oldest first per day, as of now."""
    if context.warehouse.version(LEDGER) is None:
        return []
    wanted = None if days is None else list(days)
    rows = context.warehouse.read(LEDGER, wanted).collect()
    found = [Publication(**fields_utc(row)) for row in rows]
    return sorted(found, key=lambda p: (p.ds, p.sequence))


def current(context: Context, days: Iterable[date] | None = None) -> dict[date, Publication]:
    """Return what is published now, by day."""
    return {publication.ds: publication for publication in history(context, days)}


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
    """Return the published scores: ds, run_id, keys, score, model_version, published_at.

    Exactly the rows of the newest publication of each day.
    """
    wanted = None if days is None else list(days)
    ledger = context.warehouse.read(LEDGER, wanted)
    newest = Window.partitionBy(DS).orderBy(F.col("sequence").desc())
    published = (
        ledger.withColumn("_rank", F.row_number().over(newest))
        .where("_rank = 1")
        .select(DS, RUN_ID, "model_name", "model_version", "published_at")
    )
    # As they are now, after the ledger was: what it names may have been written by another driver
    # since this one last looked.
    scores = context.warehouse.read(SCORES, wanted, context.warehouse.version(SCORES))
    return scores.join(F.broadcast(published), [DS, RUN_ID])


def insert(
    context: Context, rows: Sequence[Publication]
) -> dict[date, Publication | PublishFenced]:
    """Insert each row whose day has no publication of that sequence or a later one.

    The table has no partitions: with one a day every look at it would open a file for each day that
    was ever published. So any two that publish at the same moment are in conflict, be it for
    different days. A conflict says no more than that: what is still free is tried again, after a
    pause of random length, a bounded number of times.
    """
    outcome: dict[date, Publication | PublishFenced] = {}
    for attempt in range(_TRIES):
        left = [row for row in rows if row.ds not in outcome]
        if not left:
            break
        if attempt:
            time.sleep(random.uniform(0, _PAUSE_SECONDS * 2 ** min(attempt, 5)))  # noqa: S311
        frame = context.spark.createDataFrame(
            [
                tuple(getattr(row, name) for name in Publication.__dataclass_fields__)
                for row in left
            ],
            _SCHEMA,
        ).coalesce(1)
        days = days_predicate(row.ds for row in left).replace(DS, f"t.{DS}")
        condition = f"({days}) AND t.ds = s.ds AND t.sequence >= s.sequence"
        with suppress(WriteConflict):
            context.warehouse.insert_unless(LEDGER, frame, condition, [])
        now = current(context, [row.ds for row in left])
        for row in left:
            winner = now.get(row.ds)
            if winner is not None and winner.sequence >= row.sequence:
                outcome[row.ds] = (
                    winner
                    if winner.publication == row.publication
                    else settle(context, row.run_id, winner)
                )
    lost = [row for row in rows if row.ds not in outcome]
    if lost:
        raise WriteConflict(
            f"{context.definition.name}.ledger ds={lost[0].ds}: {_TRIES} tries met other writers. "
            "Run again"
        )
    for row in rows:
        log.info("step=publish ds=%s run_id=%s sequence=%d", row.ds, row.run_id, row.sequence)
    return outcome


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
