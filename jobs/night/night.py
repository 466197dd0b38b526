"""One night: the steps of `jobs.night.steps` for one day, all of them or one alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.quality.checks import load_early
from jobs.night.reach import ranges_text
from jobs.night.steps import ORDER, PREPARATION, PUBLICATION, Step, carry_out
from jobs.night.stopwatch import OnStep as OnStep
from jobs.night.stopwatch import Stopwatch as Stopwatch
from jobs.night.work import Asked, Work

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)

Status = Literal["published", "already published"]


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
    """Checks that what was published passed; 0 for a night that was done already."""
    seconds: dict[str, float]
    """Seconds of each step that ran."""
    notes: tuple[str, ...] = ()
    """What to know of what the scores were made of, such as a redelivery that was refused."""


def run_night(context: Context, request: NightRequest, on_step: OnStep) -> NightResult:
    """Publish the scores of one day, or find that they are published already.

    Raises:
        NightscoreError: the night failed; what was published before stays published.
    """
    load_early()
    return _night(context, request, ORDER, Stopwatch(on_step))


def score_night(context: Context, request: NightRequest, watch: Stopwatch) -> NightResult:
    """Check, score, check and publish a day whose features are ready."""
    return _night(context, request, PUBLICATION, watch)


def prepare_night(context: Context, day: date, watch: Stopwatch, *, force: bool) -> None:
    """Bring events, tiles and features of a day up to date.

    `force` builds the features again, but neither events nor tiles: those are what later days were
    made of, and writing them anew would make every one of those days stale.
    """
    work = Work(context=context, asked=Asked(force=force, raises=True), left=[day])
    carry_out(work, PREPARATION, watch)


def run_step(context: Context, request: NightRequest, name: str) -> str:
    """Carry out one step of a night by itself, and say in a few words what it did.

    Raises:
        NightscoreError: it failed, or a step before it has not left what it needs.
    """
    work = _work(context, request)
    carry_out(work, [step for step in ORDER if step.name == name], Stopwatch(lambda *_: None))
    if name in work.said:
        return work.said[name]
    return f"run {work.ended[request.ds].run_id} is published already"


def _night(
    context: Context, request: NightRequest, steps: Iterable[Step], watch: Stopwatch
) -> NightResult:
    work = _work(context, request)
    carry_out(work, steps, watch)
    ended = work.ended[request.ds]
    return NightResult(
        ds=request.ds,
        run_id=ended.run_id,
        status="published" if ended.outcome == "published" else "already published",
        rows=ended.rows,
        model_version=request.model.version,
        checks=ended.checks,
        seconds=dict(watch.seconds),
        notes=(*ended.notes, *_of_gone(work)),
    )


def _work(context: Context, request: NightRequest) -> Work:
    log.info("night=begin pipeline=%s ds=%s", context.definition.name, request.ds)
    asked = Asked(
        model=request.model, force=request.force, allow_older_model=request.allow_older_model,
        who=request.who, why=request.why, raises=True,
    )  # fmt: skip
    return Work(context=context, asked=asked, left=[request.ds])


def _of_gone(work: Work) -> list[str]:
    if not work.gone:
        return []
    return [f"the source no longer has {ranges_text(sorted(work.gone))}: what it gave is used"]
