"""`backfill`: carry out a plan over many days in one Spark application, and resume after a kill.

Nothing is remembered outside the tables. A day is done when the ledger says so; what a killed
backfill left half-way (features written, scores staged) is found by its inputs and not done again.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.errors import (
    InputsReplaced,
    NightscoreError,
    PublishFenced,
    SourceDayMissing,
    TooManyBadRows,
)
from feature_store.schema import FEATURES
from jobs.backfill.claims import Claims
from jobs.backfill.plan import Plan, make_plan
from jobs.night.ledger import current
from jobs.night.night import finished
from jobs.night.prepare import chunks, is_made_of, prepare
from jobs.night.publish import StagedRun, publish
from jobs.night.quality import Results, Stage, check_features, check_scores, require_passed
from jobs.night.score import ScoringRun, plan_run, score_days

if TYPE_CHECKING:
    from jobs.backfill.claims import Claim
    from jobs.context import Context

log = logging.getLogger(__name__)

CHUNK_DAYS = 10
"""Days scored and published together: what a kill can cost, against the fixed cost of a commit."""

_POLL_SECONDS = 5.0
_TRIES = 3

Outcome = Literal["published", "already published", "failed", "overtaken", "held"]
OnDay = Callable[["DayOutcome", int, int], None]
"""Called with the outcome of a day, the days ended so far and the days in all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a plan is carried out."""

    on_held: Literal["wait", "skip"] = "wait"
    """What to do with days that another backfill is working on."""
    allow_older_model: bool = False
    chunk_days: int = CHUNK_DAYS
    max_wait_seconds: float = 7200.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DayOutcome:
    """How one day ended."""

    ds: date
    outcome: Outcome
    rows: int = 0
    run_id: str = ""
    detail: str = ""
    """What failed, who overtook, or who holds the day."""


@dataclass
class Backfill:
    """One plan being carried out."""

    context: Context
    plan: Plan
    options: Options
    on_day: OnDay
    on_progress: Callable[[str], None]
    outcomes: dict[date, DayOutcome] = field(default_factory=dict)

    def run(self) -> list[DayOutcome]:
        """Bring every day of the plan's `to_do` to an end, and return how each ended."""
        request = self.plan.request
        started = time.monotonic()
        claims = Claims(self.context, request.who, request.why)
        left = list(self.plan.to_do)
        log.info("backfill=start plan=%s days=%d", self.plan.plan_id, len(left))
        deadline = started + self.options.max_wait_seconds
        while left:
            held = claims.take(left)
            mine = [day for day in left if day not in held]
            try:
                self._do(mine)
            finally:
                claims.release(mine)
            left = self._wait_or_skip(held, deadline)
        log.info(
            "backfill=end plan=%s days=%d seconds=%.1f",
            self.plan.plan_id,
            len(self.outcomes),
            time.monotonic() - started,
        )
        return [self.outcomes[day] for day in sorted(self.outcomes)]

    def _do(self, days: Sequence[date]) -> None:
        """Do the claimed days that still need it: another backfill may have been quicker."""
        if not days:
            return
        fences = {day: p.sequence for day, p in current(self.context, days).items()}
        needed = self._prepared(self._still_needed(days))
        for chunk in chunks(needed, self.options.chunk_days):
            self._try(chunk, fences)
            self.context.warehouse.save_lineage()

    def _still_needed(self, days: Sequence[date]) -> list[date]:
        if self.plan.request.force:
            return list(days)
        request = dataclasses.replace(self.plan.request, days=tuple(days), max_days=None)
        for day in make_plan(self.context, request).days:
            if day.status == "fresh":
                self._end(
                    DayOutcome(ds=day.ds, outcome="already published", run_id=day.published_run)
                )
            elif day.status == "blocked":
                detail = f"blocked by {', '.join(day.blocked_by)}"
                self._end(DayOutcome(ds=day.ds, outcome="failed", detail=detail))
        return [day for day in days if day not in self.outcomes]

    def _prepared(self, days: Sequence[date]) -> list[date]:
        """Return the days whose features are there now; those that a bad source day stops ended."""
        left = list(days)
        while left:
            try:
                prepare(self.context, left, self.on_progress, force=self.plan.request.force)
                break
            except (SourceDayMissing, TooManyBadRows) as error:
                stopped = [day for day in left if is_made_of(self.context, day, error.ds)]
                if not stopped:
                    raise
                for day in stopped:
                    self._end(DayOutcome(ds=day, outcome="failed", detail=_stopped(day, error)))
                left = [day for day in left if day not in stopped]
        return left

    def _try(self, days: Sequence[date], fences: dict[date, int]) -> None:
        """Score and publish days; planned again where another driver replaced their features."""
        for attempt in range(1, _TRIES + 1):
            try:
                left = [day for day in days if day not in self.outcomes]
                self._score_and_publish(left, fences)
                return
            except InputsReplaced as error:
                log.warning("attempt=%d of %d: %s", attempt, _TRIES, error)
                if attempt == _TRIES:
                    raise

    def _score_and_publish(self, days: Sequence[date], fences: dict[date, int]) -> None:
        request = self.plan.request
        runs = self._unfinished(self._with_rows(days))
        if not runs:
            return
        checked = check_features(self.context, [run.ds for run in runs])
        runs = self._passed("features", runs, checked)
        if not runs:
            return
        staged = score_days(self.context, runs, force=request.force)
        checked = check_scores(self.context, {run.ds: run.run_id for run in runs})
        runs = self._passed("scores", runs, checked)
        outcomes = publish(
            self.context,
            [
                StagedRun(run=run, rows=staged[run.ds].rows, fence=fences.get(run.ds, 0))
                for run in runs
            ],
            who=request.who,
            why=request.why,
            allow_older_model=self.options.allow_older_model,
        )
        for run in runs:
            self._end(_published(run, outcomes[run.ds], staged[run.ds].rows))

    def _with_rows(self, days: Sequence[date]) -> list[date]:
        """Return the days that have something to score; the others have ended."""
        good = []
        for day in days:
            commit = self.context.warehouse.commit(FEATURES, day)
            if commit is not None and commit.rows:
                good.append(day)
            else:
                detail = "its features have no rows: nothing was known before the cut-off"
                self._end(DayOutcome(ds=day, outcome="failed", detail=detail))
        return good

    def _unfinished(self, days: Sequence[date]) -> list[ScoringRun]:
        """Return the runs to do; one published already, or rolled back on purpose, has ended."""
        request = self.plan.request
        published = current(self.context, days) if days else {}
        runs = []
        for day in days:
            run = plan_run(self.context, day, request.model)
            try:
                done = finished(self.context, run, published.get(day), force=request.force)
            except PublishFenced as error:
                self._end(DayOutcome(ds=day, outcome="overtaken", detail=str(error)))
                continue
            if done is None:
                runs.append(run)
            else:
                found = DayOutcome(ds=day, outcome="already published", run_id=run.run_id)
                self._end(dataclasses.replace(found, rows=done.rows))
        return runs

    def _passed(
        self, stage: Stage, runs: Sequence[ScoringRun], results: Results
    ) -> list[ScoringRun]:
        """Return the runs whose checks passed; the others have ended."""
        good = []
        for run in runs:
            try:
                require_passed(self.context, stage, run.ds, results)
                good.append(run)
            except NightscoreError as error:
                self._end(DayOutcome(ds=run.ds, outcome="failed", detail=str(error)))
        return good

    def _wait_or_skip(self, held: dict[date, Claim], deadline: float) -> list[date]:
        """Return the held days to try again, after a pause; none if they are to be skipped."""
        if not held:
            return []
        holders = sorted({str(claim) for claim in held.values()})
        if self.options.on_held == "skip" or time.monotonic() > deadline:
            for day, claim in held.items():
                self._end(DayOutcome(ds=day, outcome="held", detail=f"held by {claim}"))
            return []
        self.on_progress(f"{len(held)} days are held by {'; '.join(holders)}: waiting")
        time.sleep(_POLL_SECONDS)
        return sorted(held)

    def _end(self, outcome: DayOutcome) -> None:
        self.outcomes[outcome.ds] = outcome
        log.info("backfill=day ds=%s outcome=%s", outcome.ds, outcome.outcome)
        self.on_day(outcome, len(self.outcomes), len(self.plan.to_do))


def _stopped(day: date, error: SourceDayMissing | TooManyBadRows) -> str:
    """Return why a day cannot be done: by its own source, or by a day that its windows read."""
    return str(error) if day == error.ds else f"blocked by events {error.ds}: {error}"


def _published(run: ScoringRun, result: object, rows: int) -> DayOutcome:
    if isinstance(result, PublishFenced):
        return DayOutcome(ds=run.ds, outcome="overtaken", run_id=run.run_id, detail=str(result))
    return DayOutcome(ds=run.ds, outcome="published", run_id=run.run_id, rows=rows)
