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

from jobs.backfill.claims import Claims
from jobs.backfill.plan import Plan, make_plan
from jobs.night.ledger import current
from jobs.night.reach import chunks
from jobs.night.steps import PREPARATION, PUBLICATION, carry_out
from jobs.night.stopwatch import Stopwatch
from jobs.night.work import Asked, Work

if TYPE_CHECKING:
    from jobs.backfill.claims import Claim
    from jobs.context import Context
    from jobs.night.work import DayEnd

log = logging.getLogger(__name__)

CHUNK_DAYS = 10
"""Days scored and published together: what a kill can cost, against the fixed cost of a commit."""

_POLL_SECONDS = 5.0

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
        request = self.plan.request
        asked = Asked(
            model=request.model, force=request.force, who=request.who, why=request.why,
            allow_older_model=self.options.allow_older_model, fetches_history=True,
        )  # fmt: skip
        work = Work(
            context=self.context,
            asked=asked,
            left=sorted(days),
            on_end=self._end_work,
            on_progress=self.on_progress,
            # A day that nothing is published of is fenced by nothing: 0.
            fences=dict.fromkeys(days, 0)
            | {day: p.sequence for day, p in current(self.context, days).items()},
        )
        work.left = self._still_needed(work.left)
        watch = Stopwatch(lambda *_: None)
        carry_out(work, PREPARATION, watch)
        for chunk in chunks(work.left, self.options.chunk_days):
            carry_out(work.part(chunk), PUBLICATION, self._watch(chunk))
            self.context.warehouse.save_lineage()

    def _watch(self, days: Sequence[date]) -> Stopwatch:
        what = f"{days[0]} to {days[-1]}"
        return Stopwatch(lambda step, seconds: self.on_progress(f"{step} {what}: {seconds:.1f} s"))

    def _still_needed(self, days: Sequence[date]) -> list[date]:
        if self.plan.request.force:
            return list(days)
        request = dataclasses.replace(self.plan.request, days=tuple(days), max_days=None)
        for day in make_plan(self.context, request).days:
            if day.status == "fresh":
                detail = "; ".join(day.reasons)
                found = DayOutcome(ds=day.ds, outcome="already published", detail=detail)
                self._end(dataclasses.replace(found, run_id=day.published_run))
            elif day.status == "blocked":
                detail = f"blocked by {', '.join(day.blocked_by)}"
                self._end(DayOutcome(ds=day.ds, outcome="failed", detail=detail))
        return [day for day in days if day not in self.outcomes]

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

    def _end_work(self, ended: DayEnd) -> None:
        detail = "; ".join(filter(None, (ended.detail, *ended.notes)))
        self._end(
            DayOutcome(
                ds=ended.ds,
                outcome=ended.outcome,
                rows=ended.rows,
                run_id=ended.run_id,
                detail=detail,
            )
        )

    def _end(self, outcome: DayOutcome) -> None:
        self.outcomes[outcome.ds] = outcome
        log.info("backfill=day ds=%s outcome=%s", outcome.ds, outcome.outcome)
        self.on_day(outcome, len(self.outcomes), len(self.plan.to_do))
