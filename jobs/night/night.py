"""One night: ingest -> features -> check -> score -> check -> publish, each step skippable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.errors import PublishFenced, TooManyBadRows
from feature_store.quality.checks import load_early
from feature_store.schema import EVENTS
from jobs.night.build_features import build_day_features
from jobs.night.build_tiles import build_day_tiles
from jobs.night.ingest import ingest, ingest_events
from jobs.night.ledger import current, history
from jobs.night.prepare import days_to_ingest
from jobs.night.publish import StagedRun, has_scores, publish
from jobs.night.quality import check_features, check_scores, require_passed
from jobs.night.score import load_model_early, plan_run, score_days

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.night.outdated import StepResult
    from jobs.night.score import ScoringRun
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)

Status = Literal["published", "already published"]
OnStep = Callable[[str, float], None]
"""Called at the end of a step with its name and seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NightRequest:
    """What was asked of a night, and by whom."""

    ds: date
    model: ModelRef
    force: bool = False
    allow_older_model: bool = False
    who: str
    why: str = "nightly"


@dataclass(frozen=True, kw_only=True, slots=True)
class NightResult:
    """How a night ended."""

    ds: date
    run_id: str
    status: Status
    rows: int
    model_version: int
    checks: int
    """Checks run; 0 for a night that was done already."""
    seconds: dict[str, float]
    """Seconds of each step that ran."""


@dataclass
class Stopwatch:
    """Seconds by step, told to a listener as each step ends."""

    on_step: OnStep
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block as one step."""
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 3)
        self.on_step(name, self.seconds[name])


def run_night(context: Context, request: NightRequest, on_step: OnStep) -> NightResult:
    """Publish the scores of one day, or find that they are published already.

    Raises:
        NightscoreError: the night failed; what was published before stays published.
    """
    watch = Stopwatch(on_step)
    load_early()
    prepare_night(context, request.ds, watch, force=request.force, model=request.model)
    return score_night(context, request, watch)


def prepare_night(
    context: Context, day: date, watch: Stopwatch, *, force: bool, model: ModelRef | None = None
) -> None:
    """Bring events, tiles and features of a day up to date.

    `force` builds the features again, but neither events nor tiles: those are what later days were
    made of, and writing them anew would make every one of those days stale. With a `model`, a
    worker loads it meanwhile if there is something new to score.
    """
    log.info("night=prepare pipeline=%s ds=%s", context.definition.name, day)
    with watch.step("ingest"):
        is_new = any(result.written for result in ingest_night(context, day))
    if model is not None and (is_new or force):
        load_model_early(context, model)
    with watch.step("features"):
        features_of_night(context, day, force=force)


def ingest_night(context: Context, day: date) -> list[StepResult]:
    """Bring the events of a day up to date, and those of its history that were delivered again.

    What happened on a day is often delivered the day after, beside the same rows: without this,
    windows would never see an outcome that training sees. Days of the history that were never
    ingested are not fetched here; a window that lacks them is refused where it is read.
    """
    window = [d for d in _ingested(context, days_to_ingest(context, [day])) if d != day]
    results = []
    if window:
        try:
            results = ingest_events(context, window, as_history=True)
        except TooManyBadRows as error:
            # A bad second delivery is no reason to score nothing: the first one is still there.
            log.warning("step=ingest ds=%s: %s The day's earlier events are used", day, error)
    return [*results, *ingest(context, [day])]


def features_of_night(context: Context, day: date, *, force: bool) -> StepResult:
    """Bring tiles and features of a day up to date, from the events that are there."""
    if context.definition.histories:
        build_day_tiles(context, _ingested(context, days_to_ingest(context, [day])))
    return build_day_features(context, [day], force=force)


def _ingested(context: Context, days: Sequence[date]) -> list[date]:
    """Return the days that have events, from one look at the table."""
    commits = context.warehouse.commits(EVENTS)
    return [day for day in days if (EVENTS, day, "") in commits]


def score_night(context: Context, request: NightRequest, watch: Stopwatch) -> NightResult:
    """Check, score, check and publish a day whose features are ready."""
    day = request.ds
    run = plan_run(context, day, request.model)
    before = current(context, [day]).get(day)
    done = finished(context, run, before, force=request.force)
    if done is not None:
        log.info("night=score ds=%s run_id=%s already published", day, run.run_id)
        return _result(request, run, "already published", done.rows, 0, watch)
    with watch.step("check features"):
        checks = require_passed(context, "features", day, check_features(context, [day]))
    with watch.step("score"):
        staged = score_days(context, [run], force=request.force)[day]
    with watch.step("check scores"):
        checked = check_scores(context, {day: run.run_id})
        checks += require_passed(context, "scores", day, checked)
    with watch.step("publish"):
        fence = before.sequence if before else 0
        outcome = publish(
            context,
            [StagedRun(run=run, rows=staged.rows, fence=fence)],
            who=request.who,
            why=request.why,
            allow_older_model=request.allow_older_model,
        )[day]
        if isinstance(outcome, PublishFenced):
            raise outcome
    return _result(request, run, "published", staged.rows, checks, watch)


def finished(
    context: Context, run: ScoringRun, before: Publication | None, *, force: bool
) -> Publication | None:
    """Return the publication that makes this run unnecessary, or None.

    Raises:
        PublishFenced: the run was published once and rolled back on purpose.
    """
    if force or before is None or not has_scores(context, before):
        return None
    if before.run_id == run.run_id:
        return before
    if any(p.run_id == run.run_id for p in history(context, [run.ds])):
        raise PublishFenced(
            f"{context.definition.name} ds={run.ds}: run {run.run_id} was published before and "
            f"replaced by {before.run_id} (by {before.who}: {before.why}). "
            "Use --force to publish it again"
        )
    return None


def _result(
    request: NightRequest,
    run: ScoringRun,
    status: Status,
    rows: int,
    checks: int,
    watch: Stopwatch,
) -> NightResult:
    return NightResult(
        ds=request.ds,
        run_id=run.run_id,
        status=status,
        rows=rows,
        model_version=request.model.version,
        checks=checks,
        seconds=dict(watch.seconds),
    )
