"""Commands of many days: `plan` and `backfill`."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from feature_store.errors import NightscoreError
from jobs.cli.command import Command
from jobs.cli.options import AllowOlder, First, Force, Json, Last, Model, Pipeline, Reason
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import find_model, open_context, recorded_run, who
from jobs.config import day_range

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.backfill.backfill import DayOutcome, Options
    from jobs.backfill.plan import Plan
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", help="A day to leave out; may be repeated.")
]
MaxDays = Annotated[
    int | None, typer.Option("--max-days", min=1, help="Do at most so many days, oldest first.")
]


class OnHeld(StrEnum):
    """What to do with days that another backfill is working on."""

    wait = "wait"
    skip = "skip"


def plan(
    pipeline: Pipeline,
    first: First,
    last: Last,
    exclude: Exclude = None,
    model: Model = "champion",
    force: Force = False,
    max_days: MaxDays = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Say for each day whether it is fresh, missing, stale or blocked, and why; changes nothing.

    The estimate comes from past runs; NIGHTSCORE_PRICE_PER_CORE_HOUR turns it into money.
    """
    definition, days = _days(pipeline, first, last, exclude)
    with Progress() as progress:
        ref = find_model(pipeline, model, progress)
        with (
            open_context(definition, progress, "plan", is_quick=True, is_lazy=True) as context,
            progress.step("plan"),
        ):
            found = _make_plan(context, days, ref, reason, force, max_days)
    _print_plan(found, as_json)


def backfill(
    pipeline: Pipeline,
    first: First,
    last: Last,
    exclude: Exclude = None,
    model: Model = "champion",
    force: Force = False,
    max_days: MaxDays = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the plan; nothing is changed.")
    ] = False,
    allow_older_model: AllowOlder = False,
    on_held: Annotated[
        OnHeld, typer.Option("--on-held", help="Days another backfill works on: wait or skip.")
    ] = OnHeld.wait,
    chunk_days: Annotated[
        int, typer.Option("--chunk-days", min=1, max=366, help="Days published per commit.")
    ] = 10,
    reason: Reason = "backfill",
    as_json: Json = False,
) -> None:
    """Publish the scores of every day of a range that needs it.

    One Spark application and one model for all days. Killed, it resumes where it was: published
    days are left alone. Exit code 1 if a day failed, was overtaken or stayed held.
    """
    definition, days = _days(pipeline, first, last, exclude)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress())
        record = None
        if not dry_run:
            # Its days are what it did, told when they have ended.
            record = stack.enter_context(recorded_run(definition, "backfill", [], reason))
        ref = find_model(pipeline, model, progress)
        with open_context(definition, progress, "backfill", is_lazy=dry_run) as context:
            with progress.step("plan"):
                found = _make_plan(context, days, ref, reason, force, max_days)
            if record is None:
                _print_plan(found, as_json)
                return
            from jobs.backfill.backfill import Options

            options = Options(
                on_held=on_held.value, allow_older_model=allow_older_model, chunk_days=chunk_days
            )
            outcomes = _run(context, found, options, progress)
            record.days |= {outcome.ds.isoformat(): _kept(outcome) for outcome in outcomes}
            record.rows = sum(outcome.rows for outcome in outcomes)
    _print_outcomes(found, outcomes, as_json)


def _days(
    pipeline: str, first: str, last: str, exclude: list[str] | None
) -> tuple[Definition, list[date]]:
    definition = definitions.load(pipeline)
    return definition, day_range(definition, first, last, exclude or [])


def _kept(outcome: DayOutcome) -> str:
    return f"{outcome.outcome}: {outcome.detail}" if outcome.detail else outcome.outcome


def _make_plan(
    context: Context,
    days: list[date],
    model: ModelRef,
    why: str,
    force: bool,
    max_days: int | None,
) -> Plan:
    from jobs.backfill.plan import PlanRequest, make_plan

    request = PlanRequest(
        days=tuple(days), model=model, who=who(), why=why, force=force, max_days=max_days
    )
    return make_plan(context, request)


def _run(context: Context, found: Plan, options: Options, progress: Progress) -> list[DayOutcome]:
    import time

    from jobs.backfill.backfill import Backfill
    from jobs.backfill.plan import record_plan

    record_plan(context, found)
    started = time.monotonic()

    def on_day(outcome: DayOutcome, done: int, total: int) -> None:
        seconds = time.monotonic() - started
        left = seconds / done * (total - done)
        detail = f": {outcome.detail}" if outcome.detail else ""
        progress.note(
            f"{outcome.ds} {outcome.outcome} ({done} of {total}, {seconds:.0f} s, "
            f"about {left:.0f} s left){detail}"
        )

    progress.expect("backfill")
    return Backfill(context, found, options, on_day, progress.note).run()


def _print_plan(found: Plan, as_json: bool) -> None:
    if as_json:
        print(json_text(found.to_json()))
        return
    for status, spans in found.by_status().items():
        listed = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in spans)
        print_line(f"{status:<8} {sum((b - a).days + 1 for a, b in spans):>4} days  {listed}")
    for day in found.days:
        why = "; ".join((*day.reasons, *(f"blocked by {by}" for by in day.blocked_by)))
        if why:
            print_line(f"  {day.ds} {day.status}: {why}")
    print_line(_estimate_text(found))


def _estimate_text(found: Plan) -> str:
    cost = found.estimate
    if not cost.days:
        return "nothing to do"
    rows = "" if cost.rows is None else f", about {cost.rows:,} rows"
    if cost.write_seconds is None or cost.core_hours is None:
        return f"to do: {cost.days} days{rows}; no past run to estimate the cost from"
    money = "" if cost.money is None else f", {cost.money:.4f} at {cost.price_per_core_hour}/core-h"
    cores = f"{cost.core_hours:.4f} core-hours of Spark's tasks{money}"
    if cost.seconds is None:
        return (
            f"to do: {cost.days} days{rows}, {cost.write_seconds:.0f} s of table writes and what "
            f"comes beside them, which no run on record says yet; {cores}"
        )
    error = "unknown" if cost.past_error is None else f"{cost.past_error:.0%}"
    runs = "1 past run" if cost.past_runs == 1 else f"{cost.past_runs} past runs"
    return (
        f"to do: {cost.days} days{rows}, about {cost.seconds:.0f} s in all "
        f"({cost.write_seconds:.0f} s of them table writes), {cores} (from {runs}; median error on "
        f"them {error})"
    )


def _print_outcomes(found: Plan, outcomes: list[DayOutcome], as_json: bool) -> None:
    bad = [o for o in outcomes if o.outcome not in ("published", "already published")]
    for outcome in outcomes if as_json else []:
        fields = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
        print(json_text({**fields, "ds": str(outcome.ds), "plan_id": found.plan_id}))
    if not as_json:
        rows = sum(outcome.rows for outcome in outcomes)
        done = sum(outcome.outcome == "published" for outcome in outcomes)
        print_line(f"{done} of {len(found.request.days)} days published now, {rows:,} rows")
    if bad:
        raise NightscoreError(
            f"{len(bad)} of {len(outcomes)} days did not end well, first {bad[0].ds}: "
            f"{bad[0].outcome}: {bad[0].detail}"
        )


_RANGE = "--pipeline flights --from 2013-12-01 --to 2013-12-30"

COMMANDS = (
    Command(
        "plan",
        plan,
        (
            f"nightscore plan {_RANGE}",
            f"nightscore plan {_RANGE} --model 3 --json",
        ),
    ),
    Command(
        "backfill",
        backfill,
        (
            f"nightscore backfill {_RANGE} --dry-run",
            f"nightscore backfill {_RANGE} --reason 'weather was mended'",
            f"nightscore backfill {_RANGE} --exclude 2013-12-25 --max-days 10",
            f"nightscore backfill {_RANGE} --model 2 --allow-older-model",
        ),
    ),
)
