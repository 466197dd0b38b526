"""Step `publish`: one row in the ledger makes a run the published one of its day."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.errors import NightscoreError, PublishFenced, WriteConflict
from feature_store.schema import DS, LEDGER, RUN_ID, SCORES
from feature_store.tables import days_predicate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import DataFrame

    from jobs.context import Context
    from jobs.score import ScoringRun

log = logging.getLogger(__name__)

_SCHEMA = (
    "ds date, sequence bigint, publication string, run_id string, model_name string, "
    "model_version bigint, model_digest string, inputs string, rows bigint, who string, "
    "why string, published_at timestamp"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """One row of the ledger: from then on `run_id` holds the scores of `ds`."""

    ds: date
    sequence: int
    publication: str
    run_id: str
    model_name: str
    model_version: int
    model_digest: str
    inputs: str
    rows: int
    who: str
    why: str
    published_at: datetime


def history(context: Context, days: Iterable[date] | None = None) -> list[Publication]:
    """Return every publication (of `days`), oldest first per day, as of now."""
    if context.warehouse.version(LEDGER) is None:
        return []
    wanted = None if days is None else list(days)
    rows = context.warehouse.read(LEDGER, wanted).collect()
    found = [Publication(**row.asDict()) for row in rows]
    return sorted(found, key=lambda p: (p.ds, p.sequence))


def current(context: Context, days: Iterable[date] | None = None) -> dict[date, Publication]:
    """Return what is published now, by day."""
    return {publication.ds: publication for publication in history(context, days)}


def publish(
    context: Context,
    run: ScoringRun,
    rows: int,
    *,
    fence: int,
    who: str,
    why: str,
    allow_older_model: bool = False,
) -> Publication:
    """Make the staged scores of a run the published ones of its day.

    Args:
        context: the pipeline.
        run: the run; its scores are staged and checked.
        rows: how many scores it has.
        fence: the newest sequence of the day when this run began; 0 for none.
        who: the person or service that asked.
        why: the reason, for the record.
        allow_older_model: whether an older model may replace a newer one's scores.

    Raises:
        PublishFenced: another run published the day after `fence`, or with a newer model.
    """
    before = current(context, [run.ds]).get(run.ds)
    if before is not None and before.run_id == run.run_id and before.sequence > fence:
        log.info("step=publish run_id=%s another driver published the same run", run.run_id)
        return before
    if before is not None and before.sequence > fence:
        raise PublishFenced(_overtaken(context, run.run_id, before))
    if before is not None and before.model_version > run.model.version and not allow_older_model:
        raise PublishFenced(
            f"{context.definition.name} ds={run.ds}: model version {run.model.version} is older "
            f"than the published {before.model_version} (run {before.run_id}, by {before.who}). "
            "Use --allow-older-model if that is meant"
        )
    row = Publication(
        ds=run.ds,
        sequence=fence + 1,
        publication=uuid.uuid4().hex,
        run_id=run.run_id,
        model_name=run.model.model,
        model_version=run.model.version,
        model_digest=run.model.digest,
        inputs=run.inputs.to_json(),
        rows=rows,
        who=who,
        why=why,
        published_at=datetime.now(UTC),
    )
    return _commit(context, row)


def rollback(
    context: Context, day: date, *, who: str, why: str, to_run: str | None = None
) -> Publication:
    """Publish an earlier run of a day again: by default the one before the current.

    Raises:
        NightscoreError: there is no earlier run, or its scores are gone.
    """
    past = history(context, [day])
    name = context.definition.name
    if not past:
        raise NightscoreError(f"{name} ds={day}: nothing is published, so nothing to roll back")
    now = past[-1]
    earlier = [p for p in past if p.run_id != now.run_id and to_run in (None, p.run_id)]
    if not earlier:
        known = ", ".join(sorted({p.run_id for p in past}))
        raise NightscoreError(
            f"{name} ds={day}: no earlier run {to_run or ''} to roll back to; there are: {known}"
        )
    target = earlier[-1]
    if context.warehouse.commit(SCORES, day, target.run_id) is None or _is_gone(context, target):
        raise NightscoreError(
            f"{name} ds={day}: the scores of run {target.run_id} were cleaned up by retention. "
            f"Run: nightscore run --pipeline {name} --ds {day} --model {target.model_version}"
        )
    row = dataclasses.replace(
        target,
        sequence=now.sequence + 1,
        publication=uuid.uuid4().hex,
        who=who,
        why=why,
        published_at=datetime.now(UTC),
    )
    return _commit(context, row)


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
    return context.warehouse.read(SCORES, wanted).join(F.broadcast(published), [DS, RUN_ID])


def _is_gone(context: Context, target: Publication) -> bool:
    staged = context.warehouse.read(SCORES, [target.ds]).where(F.col(RUN_ID) == target.run_id)
    return staged.isEmpty()


def _commit(context: Context, row: Publication) -> Publication:
    """Insert the row if its day has no publication of that sequence or a later one."""
    frame = context.spark.createDataFrame(
        [tuple(getattr(row, f) for f in Publication.__dataclass_fields__)], _SCHEMA
    )
    same_day = days_predicate([row.ds]).replace(DS, f"t.{DS}")
    condition = f"{same_day} AND t.ds = s.ds AND t.sequence >= s.sequence"
    try:
        context.warehouse.insert_unless(LEDGER, frame, condition, [DS])
    except WriteConflict:
        log.warning("step=publish ds=%s another driver wrote the ledger; looking again", row.ds)
    winner = current(context, [row.ds]).get(row.ds)
    if winner is None:
        # The conflict was with another day's row; this day is still free.
        context.warehouse.insert_unless(LEDGER, frame, condition, [DS])
        winner = current(context, [row.ds])[row.ds]
    if winner.publication != row.publication and winner.run_id != row.run_id:
        raise PublishFenced(_overtaken(context, row.run_id, winner))
    log.info("step=publish ds=%s run_id=%s sequence=%d", row.ds, winner.run_id, winner.sequence)
    return winner


def _overtaken(context: Context, run_id: str, winner: Publication) -> str:
    return (
        f"{context.definition.name} ds={winner.ds}: run {run_id} was overtaken: run "
        f"{winner.run_id} (model version {winner.model_version}) was published by {winner.who} "
        f"at {winner.published_at:%Y-%m-%d %H:%M:%S} UTC ({winner.why}). Nothing was changed. "
        "Run again with --force to publish over it"
    )
