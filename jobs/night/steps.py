"""The steps of a night one at a time: what a scheduler runs when one of them is asked for alone.

`jobs.night.night` runs them all in one Spark application. Here each finds what the steps before it
left in the tables, so that any of them can be repeated hours later, by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from feature_store.errors import PartitionNotReady
from feature_store.schema import SCORES
from jobs.night.ledger import current
from jobs.night.night import features_of_night, finished, ingest_night
from jobs.night.publish import StagedRun, publish
from jobs.night.quality import check_features, check_scores, require_passed
from jobs.night.score import plan_run, score_days

if TYPE_CHECKING:
    from feature_store.tables.commits import DayCommit
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.night.night import NightRequest
    from jobs.night.score import ScoringRun


def _ingest(context: Context, request: NightRequest) -> str:
    results = ingest_night(context, request.ds)
    return ", ".join(f"{r.step} {'written' if r.written else 'found'}" for r in results)


def _features(context: Context, request: NightRequest) -> str:
    result = features_of_night(context, request.ds, force=request.force)
    return f"{result.rows} rows {'written' if result.written else 'found'}"


def _check_features(context: Context, request: NightRequest) -> str:
    results = check_features(context, [request.ds])
    return f"{require_passed(context, 'features', request.ds, results)} checks passed"


def _score(context: Context, request: NightRequest) -> str:
    run = plan_run(context, request.ds, request.model)
    staged = score_days(context, [run], force=request.force)[request.ds]
    return f"run {run.run_id}, {staged.rows} rows"


def _check_scores(context: Context, request: NightRequest) -> str:
    run, _ = _staged(context, request)
    results = check_scores(context, {request.ds: run.run_id})
    return f"{require_passed(context, 'scores', request.ds, results)} checks passed"


def _publish(context: Context, request: NightRequest) -> str:
    run, staged = _staged(context, request)
    before = current(context, [request.ds]).get(request.ds)
    if finished(context, run, before, force=request.force) is not None:
        return f"run {run.run_id} is published already"
    # The check before this may have looked at another run: a model can be promoted in between.
    results = check_scores(context, {request.ds: run.run_id})
    require_passed(context, "scores", request.ds, results)
    fence = before.sequence if before else 0
    item = StagedRun(run=run, rows=staged.rows, fence=fence)
    outcome: Publication | Exception = publish(
        context,
        [item],
        who=request.who,
        why=request.why,
        allow_older_model=request.allow_older_model,
    )[request.ds]
    if isinstance(outcome, Exception):
        raise outcome
    return f"run {run.run_id} published, {staged.rows} rows"


def _staged(context: Context, request: NightRequest) -> tuple[ScoringRun, DayCommit]:
    """Return the run that the day's features and the model make, and its staged scores."""
    run = plan_run(context, request.ds, request.model)
    staged = context.warehouse.commit(SCORES, request.ds, run.run_id)
    if staged is None or staged.rows == 0:
        step = f"Run {run.run_id} ({run.model.title}) is not scored yet: repeat the step `score`"
        raise PartitionNotReady(SCORES, [request.ds], step)
    return run, staged


STEPS: dict[str, Callable[[Context, NightRequest], str]] = {
    "ingest": _ingest,
    "features": _features,
    "check features": _check_features,
    "score": _score,
    "check scores": _check_scores,
    "publish": _publish,
}
"""Every step by name, in the order of a night; each says in a few words what it did. The page is
made after them, by whoever runs the night: `jobs.report`."""
