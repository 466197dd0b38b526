"""`plan`: what a range of days needs, why, and what it will take; nothing is changed."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from feature_store.raw import prefetch
from feature_store.schema import PLANS
from feature_store.tables.inputs import Inputs
from jobs.backfill.estimate import Estimate, estimate
from jobs.backfill.freshness import Freshness, State
from jobs.night.expected import run_id, scores_inputs
from jobs.night.known_late import unknown_days, why_unknown
from jobs.night.ledger import Publication, history, is_same_work
from jobs.night.publish import has_scores
from jobs.night.reach import days_to_ingest

if TYPE_CHECKING:
    from jobs.backfill.freshness import Status
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

_SCHEMA = (
    "plan_id string, asked_at timestamp, who string, why string, request string, "
    "days string, estimate string"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRequest:
    """What is asked: these days, scored by this model, for this reason."""

    days: tuple[date, ...]
    model: ModelRef
    who: str
    why: str
    force: bool = False
    max_days: int | None = None
    """At most so many days are done, oldest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayPlan:
    """What one day needs: fresh (nothing), missing, stale or blocked, with the reasons.

    A day whose run was rolled back is fresh: to publish that run again takes `--force`.
    """

    ds: date
    status: Status
    reasons: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    published_run: str = ""
    """The run published now; empty for none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A request with what every day needs and what the work is estimated to take."""

    plan_id: str
    asked_at: datetime
    request: PlanRequest
    days: tuple[DayPlan, ...]
    to_do: tuple[date, ...]
    estimate: Estimate

    def by_status(self) -> dict[str, list[tuple[date, date]]]:
        """Return the ranges of days of each status."""
        statuses = sorted({day.status for day in self.days})
        return {s: ranges([d.ds for d in self.days if d.status == s]) for s in statuses}

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON-ready data."""
        return {
            "plan_id": self.plan_id,
            "asked_at": self.asked_at.isoformat(),
            "who": self.request.who,
            "why": self.request.why,
            "model_version": self.request.model.version,
            "force": self.request.force,
            "max_days": self.request.max_days,
            "counts": dict(Counter(day.status for day in self.days)),
            "ranges": {
                status: [[str(first), str(last)] for first, last in found]
                for status, found in self.by_status().items()
            },
            "to_do": [str(day) for day in self.to_do],
            "estimate": dataclasses.asdict(self.estimate),
            "days": [
                {**dataclasses.asdict(day), "ds": str(day.ds), "reasons": list(day.reasons)}
                for day in self.days
            ],
        }


def make_plan(context: Context, request: PlanRequest) -> Plan:
    """Return what each day asked for needs, from one look at the tables."""
    past: dict[date, list[Publication]] = {day: [] for day in request.days}
    for publication in history(context, request.days):
        past[publication.ds].append(publication)
    for stream in context.definition.streams:
        prefetch(stream.source, days_to_ingest(context, stream, request.days))
    with context.warehouse.held():
        freshness = Freshness(context)
        freshness.look(request.days)
        days = tuple(
            plan_day(context, freshness, day, request.model, past[day]) for day in request.days
        )
        days = _without_unknown(context, freshness, days)
        wanted = [
            d for d in days if d.status != "blocked" and (request.force or d.status != "fresh")
        ]
        to_do = tuple(d.ds for d in wanted)[: request.max_days]
        cost = estimate(context, to_do, freshness)
    return Plan(
        plan_id=uuid.uuid4().hex[:16],
        asked_at=datetime.now(UTC),
        request=request,
        days=days,
        to_do=to_do,
        estimate=cost,
    )


def plan_day(
    context: Context,
    freshness: Freshness,
    day: date,
    model: ModelRef,
    past: Sequence[Publication],
) -> DayPlan:
    """Return what one day needs to be published from fresh features by `model`.

    Args:
        context: the pipeline.
        freshness: what is known of the tables.
        day: the day.
        model: the model to score it with.
        past: every publication of the day, oldest first.
    """
    features = freshness.features(day)
    published = past[-1] if past else None
    run = published.run_id if published else ""
    if features.status == "blocked":
        return _day_plan(day, features, run)
    if published is None:
        return _day_plan(day, State(status="missing", reasons=("no scores are published",)), run)
    if features.status != "fresh":
        reasons = features.reasons if features.status == "stale" else ("features are missing",)
        return _day_plan(day, State(status="stale", reasons=reasons), run)
    if not has_scores(context, published):
        gone = State(status="missing", reasons=(f"the scores of the published run {run} are gone",))
        return _day_plan(day, gone, run)
    now = scores_inputs(context, day, model.digest)
    wanted = run_id(context.definition.name, day, now)
    if is_same_work(published.run_id, wanted):
        return _day_plan(day, features, run)
    if any(is_same_work(publication.run_id, wanted) for publication in past):
        why = f"run {wanted} was rolled back by {published.who}: {published.why}"
        return _day_plan(day, State(status="fresh", reasons=(why,)), run)
    reasons = tuple(Inputs.from_json(published.inputs).changes(now))
    return _day_plan(day, State(status="stale", reasons=reasons), run)


def _without_unknown(
    context: Context, freshness: Freshness, days: Sequence[DayPlan]
) -> tuple[DayPlan, ...]:
    """Return the days, blocked where there is nothing to score and will not be by doing it again.

    Features that are to be built anew may come out otherwise, and are not judged by what is there.
    """
    undone = [
        d.ds
        for d in days
        if d.status in ("missing", "stale") and freshness.features(d.ds).status == "fresh"
    ]
    why = why_unknown(context, unknown_days(context, undone))
    return tuple(
        dataclasses.replace(d, status="blocked", blocked_by=(str(why[d.ds]),)) if d.ds in why else d
        for d in days
    )


def record_plan(context: Context, plan: Plan) -> None:
    """Keep the plan of a backfill: what was asked, by whom, why, and what was found."""
    data = plan.to_json()
    row = (
        plan.plan_id,
        plan.asked_at,
        plan.request.who,
        plan.request.why,
        json.dumps({key: data[key] for key in ("model_version", "force", "max_days")}),
        json.dumps(data["days"]),
        json.dumps(data["estimate"]),
    )
    context.warehouse.append(PLANS, context.spark.createDataFrame([row], _SCHEMA).coalesce(1))


def ranges(days: Sequence[date]) -> list[tuple[date, date]]:
    """Return the days as (first, last) of runs without a gap."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _day_plan(day: date, state: State, run: str) -> DayPlan:
    return DayPlan(
        ds=day,
        status=state.status,
        reasons=state.reasons,
        blocked_by=state.blocked_by,
        published_run=run,
    )
