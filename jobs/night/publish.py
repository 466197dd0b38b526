"""Step `publish`: one row in the ledger makes a run the published one of its day."""

from __future__ import annotations

import dataclasses
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from feature_store.errors import CheckFailed, NightscoreError, PublishFenced, RunRemoved
from feature_store.schema import FEATURES, SCORES
from jobs.night.ledger import Past, Publication, current, earlier_runs, insert, pasts, settle
from jobs.night.quality import checked_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feature_store.tables.inputs import Inputs
    from jobs.context import Context
    from jobs.night.quality import Checked, Stage
    from jobs.night.score import ScoringRun

Published = Publication | PublishFenced | RunRemoved
"""How a day ended: what is published, who was quicker, or that the scores are gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedRun:
    """A run whose scores are staged and checked."""

    run: ScoringRun
    rows: int
    fence: int
    """The newest sequence of the day when the run began; 0 for none."""
    checked: tuple[Checked, ...]
    """The proofs that the features it was made of, and its scores, passed their checks."""
    notes: tuple[str, ...] = ()
    """What to know of what it was made of."""


def publish(
    context: Context,
    staged: Sequence[StagedRun],
    *,
    who: str,
    why: str,
    allow_older_model: bool = False,
) -> dict[date, Published]:
    """Make staged runs the published ones of their days, in one commit; says for each day who won.

    Args:
        context: the pipeline.
        staged: runs whose scores are staged and checked, one per day.
        who: the person or service that asked.
        why: the reason, for the record.
        allow_older_model: whether an older model may replace a newer one's scores.

    A day is fenced, and left as it is, when another run was published after `fence`, or when what
    is published comes from a newer model. A run whose scores maintenance took is not published.

    Raises:
        CheckFailed: a run comes without proof that exactly its features and scores, by the
            definition's rules of now, passed their checks; nothing is published.
    """
    if not staged:
        return {}
    for item in staged:
        _require_checked(context, item)
    now = current(context, [s.run.ds for s in staged])
    outcome: dict[date, Published] = {}
    rows = []
    for item in staged:
        before = now.get(item.run.ds)
        if before is not None and before.sequence > item.fence:
            outcome[item.run.ds] = settle(context, item.run.run_id, before)
        elif before is not None and _is_older(item.run, before) and not allow_older_model:
            outcome[item.run.ds] = PublishFenced(_older_text(context, item.run, before))
        else:
            rows.append(_row(item, who, why))
    return outcome | insert(context, rows)


def _require_checked(context: Context, item: StagedRun) -> None:
    run, definition = item.run, context.definition
    features = run.inputs.pins[FEATURES]
    wanted: dict[Stage, Inputs] = {
        "features": checked_inputs(definition, "features", features),
        "scores": checked_inputs(definition, "scores", features, run.run_id),
    }
    proven = {proof.stage: proof.of for proof in item.checked}
    lacking = [stage for stage, of in wanted.items() if proven.get(stage) != of]
    if lacking:
        raise CheckFailed(
            f"{definition.name} ds={run.ds}: run {run.run_id} was not published: there is no proof "
            f"that its {' and its '.join(lacking)} passed the checks of the definition as it is "
            f"now. Run: nightscore run --pipeline {definition.name} --ds {run.ds}"
        )


def has_scores(context: Context, publication: Publication) -> bool:
    """Whether the scores that a publication names are there."""
    staged = context.warehouse.commit(SCORES, publication.ds, publication.run_id)
    return staged is not None and staged.rows > 0 and not staged.foreign


def rollback(
    context: Context, day: date, *, who: str, why: str, to_run: str | None = None
) -> Publication:
    """Publish an earlier run of a day again: by default the one before the current was first there.

    So a second rollback goes further back, and never to what the first one left.

    Raises:
        NightscoreError: there is no earlier run, or its scores are gone.
    """
    found = pasts(context, [day]).get(day, Past())
    past, name = found.publications, context.definition.name
    if not past:
        raise NightscoreError(f"{name} ds={day}: nothing is published, so nothing to roll back")
    now = past[-1]
    if to_run is None:
        choice = earlier_runs(past)
    else:
        choice = [p for p in past if p.run_id == to_run != now.run_id]
    if not choice:
        raise NightscoreError(_nothing_earlier(name, past, to_run))
    target = choice[0]
    if target.run_id in found.removed or not has_scores(context, target):
        raise NightscoreError(_cleaned_up(name, target))
    row = dataclasses.replace(
        target,
        sequence=now.sequence + 1,
        publication=uuid.uuid4().hex,
        who=who,
        why=why,
        published_at=datetime.now(UTC),
    )
    result = insert(context, [row])[day]
    if isinstance(result, RunRemoved):
        raise NightscoreError(_cleaned_up(name, target))
    if isinstance(result, PublishFenced):
        raise result
    return result


def _cleaned_up(name: str, target: Publication) -> str:
    return (
        f"{name} ds={target.ds}: the scores of run {target.run_id} were cleaned up by retention. "
        f"Run: nightscore run --pipeline {name} --ds {target.ds} --model {target.model_version} "
        "--force --allow-older-model"
    )


def _nothing_earlier(name: str, past: Sequence[Publication], to_run: str | None) -> str:
    now = past[-1]
    wanted = "no earlier run" if to_run is None else f"no other run {to_run}"
    others = sorted({p.run_id for p in past} - {now.run_id})
    step = f"; name one with --to-run: {', '.join(others)}" if others else ""
    return f"{name} ds={now.ds}: {wanted} to roll back to: {now.run_id} is published{step}"


def _row(item: StagedRun, who: str, why: str) -> Publication:
    return Publication(
        ds=item.run.ds,
        sequence=item.fence + 1,
        publication=uuid.uuid4().hex,
        run_id=item.run.run_id,
        model_name=item.run.model.model,
        model_version=item.run.model.version,
        model_digest=item.run.model.digest,
        inputs=item.run.inputs.to_json(),
        rows=item.rows,
        who=who,
        why=why,
        published_at=datetime.now(UTC),
        checks=json.dumps([proof.to_dict() for proof in item.checked], sort_keys=True),
        notes="\n".join(item.notes),
    )


def _is_older(run: ScoringRun, before: Publication) -> bool:
    return run.model.version < before.model_version


def _older_text(context: Context, run: ScoringRun, before: Publication) -> str:
    return (
        f"{context.definition.name} ds={run.ds}: model version {run.model.version} is older than "
        f"the published {before.model_version} (run {before.run_id}, by {before.who}). "
        "Use --allow-older-model if that is meant"
    )
