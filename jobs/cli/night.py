"""Commands of the night: `run`, and its halves `prepare` and `score`."""

from __future__ import annotations

import logging
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_store import definitions
from feature_store.errors import NightscoreError
from jobs.cli.command import Command
from jobs.cli.options import AllowOlder, Ds, First, Force, Json, Last, Model, Pipeline, Reason
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import find_model, open_context, pipeline_day, recorded_run, who
from jobs.config import day_range
from jobs.night.runs import Kind, Run
from models.errors import ModelError

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.night.night import NightRequest, NightResult

log = logging.getLogger(__name__)

PREPARE_STEPS = ("ingest", "features")
SCORE_STEPS = ("check features", "score", "check scores", "publish")


class Until(StrEnum):
    """Where a night may stop."""

    features = "features"
    publish = "publish"


def run(
    pipeline: Pipeline,
    ds: Ds,
    force: Force = False,
    model: Model = "champion",
    reason: Reason = "nightly",
    allow_older_model: AllowOlder = False,
    until: Annotated[
        Until, typer.Option("--until", help="Stop after the features, or go on to publish.")
    ] = Until.publish,
    as_json: Json = False,
) -> None:
    """Run one night of a pipeline, from its source to its report.

    The steps: ingest, features, check, score, check, publish, report. What is up to date is left
    alone; a published night is found, and nothing is written. A failed check ends the night before
    publication: the scores published before stay readable.
    """
    definition, day = pipeline_day(pipeline, ds)
    kind: Kind = "features" if until is Until.features else "night"
    with Progress() as progress, recorded_run(definition, kind, [day], reason) as record:
        if until is Until.features:
            found = _run_features(definition, day, progress, record, force=force)
        else:
            request = _request(
                definition, day, model, progress,
                force=force, allow_older_model=allow_older_model, why=reason,
            )  # fmt: skip
            found = _publish(definition, request, progress, record, is_prepared=False)
    _print_result(found, as_json)


def score(
    pipeline: Pipeline,
    ds: Ds,
    force: Force = False,
    model: Model = "champion",
    reason: Reason = "scored by hand",
    allow_older_model: AllowOlder = False,
    as_json: Json = False,
) -> None:
    """Score, check and publish a day whose features are there."""
    definition, day = pipeline_day(pipeline, ds)
    with Progress() as progress, recorded_run(definition, "score", [day], reason) as record:
        request = _request(
            definition, day, model, progress,
            force=force, allow_older_model=allow_older_model, why=reason,
        )  # fmt: skip
        found = _publish(definition, request, progress, record, is_prepared=True)
    _print_result(found, as_json)


def prepare(pipeline: Pipeline, first: First, last: Last, as_json: Json = False) -> None:
    """Bring the features of a range of days up to date.

    The days before the range that its history windows read are ingested too.
    """
    definition = definitions.load(pipeline)
    days = day_range(definition, first, last)
    with (
        Progress() as progress,
        recorded_run(definition, "prepare", days) as record,
        open_context(definition, progress, "prepare") as context,
    ):
        from jobs.night.prepare import prepare as prepare_days

        progress.expect("prepare")
        prepared = prepare_days(context, days, progress.note)
        record.rows = prepared.rows
    found = {
        "pipeline": pipeline,
        "first": days[0].isoformat(),
        "last": days[-1].isoformat(),
        "days": len(prepared.days),
        "written": prepared.written,
        "rows": prepared.rows,
        "seconds": prepared.seconds,
        "notes": list(prepared.notes),
    }
    if as_json:
        print(json_text(found))
    else:
        print_line(
            f"{pipeline}: features of {days[0]} to {days[-1]} are up to date: {prepared.rows:,} "
            f"rows, {prepared.written} of {len(prepared.days)} days written"
        )
        for note in prepared.notes:
            print_line(f"note: {note}")


def _request(
    definition: Definition,
    day: date,
    model: str,
    progress: Progress,
    *,
    force: bool,
    allow_older_model: bool,
    why: str,
) -> NightRequest:
    """Return the night to run; without a model to run it with, Spark is never started."""
    ref = find_model(definition.name, model, progress)
    from jobs.night.night import NightRequest

    return NightRequest(
        ds=day, model=ref, force=force, allow_older_model=allow_older_model, who=who(), why=why
    )


def _run_features(
    definition: Definition, day: date, progress: Progress, record: Run, *, force: bool
) -> dict[str, Any]:
    with open_context(definition, progress, "features", is_quick=True) as context:
        from feature_store.schema import FEATURES
        from jobs.night.night import Stopwatch, prepare_night

        watch = Stopwatch(progress.on_step, record.steps)
        progress.expect(*PREPARE_STEPS)
        prepare_night(context, day, watch, force=force)
        commit = context.warehouse.commit(FEATURES, day)
        record.rows = commit.rows if commit else 0
    return {
        "pipeline": definition.name,
        "ds": day.isoformat(),
        "status": "features ready",
        "rows": commit.rows if commit else 0,
        "seconds": watch.seconds,
    }


def _publish(
    definition: Definition,
    request: NightRequest,
    progress: Progress,
    record: Run,
    *,
    is_prepared: bool,
) -> dict[str, Any]:
    """Run the night, and render its report whether it was published or not."""
    with open_context(definition, progress, "night", is_quick=True) as context:
        try:
            result = _run_steps(context, request, progress, record, is_prepared=is_prepared)
        except (NightscoreError, ModelError) as error:
            try:
                progress.note(f"report: {_render(context, request.ds, str(error))}")
            except Exception:  # the night's own error is the one to end with
                log.warning("ds=%s: the failed night has no page", request.ds, exc_info=True)
            raise
        record.outcome, record.rows = result.status, result.rows
        found = _as_dict(definition.name, result)
        with progress.step("report"):
            found["report"] = _report_or_none(context, request.ds)
    return found


def _run_steps(
    context: Context,
    request: NightRequest,
    progress: Progress,
    record: Run,
    *,
    is_prepared: bool,
) -> NightResult:
    from jobs.night.night import Stopwatch, run_night, score_night

    if is_prepared:
        progress.expect(*SCORE_STEPS)
        return score_night(context, request, Stopwatch(progress.on_step, record.steps))
    progress.expect(*PREPARE_STEPS, *SCORE_STEPS)

    def on_step(name: str, seconds: float) -> None:
        record.steps[name] = seconds
        progress.on_step(name, seconds)

    return run_night(context, request, on_step)


def _render(context: Context, day: date, failure: str = "") -> str:
    from jobs.report.render import render_report

    return str(render_report(context, day, failure=failure))


def _report_or_none(context: Context, day: date) -> str | None:
    """Return the page's path; a report that fails must not fail a published night."""
    try:
        return _render(context, day)
    except Exception as error:
        log.error("step=report ds=%s failed: %s: %s", day, type(error).__name__, error)
        return None


def _as_dict(pipeline: str, result: NightResult) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "ds": result.ds.isoformat(),
        "status": result.status,
        "run_id": result.run_id,
        "rows": result.rows,
        "model_version": result.model_version,
        "checks": result.checks,
        "seconds": result.seconds,
        "notes": list(result.notes),
    }


def _print_result(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json_text(found))
        return
    run = f", run {found['run_id']}" if "run_id" in found else ""
    model = f", model version {found['model_version']}" if "model_version" in found else ""
    print_line(
        f"{found['pipeline']} {found['ds']}: {found['status']}, {found['rows']:,} rows{run}{model}"
    )
    for note in found.get("notes", ()):
        print_line(f"note: {note}")
    if found.get("report"):
        print_line(f"report: {found['report']}")


COMMANDS = (
    Command(
        "run",
        run,
        (
            "nightscore run --pipeline flights --ds 2013-12-10",
            "nightscore run --pipeline flights --ds 2013-12-10 --json",
            "nightscore run --pipeline flights --ds 2013-12-10 --force --reason 'late rows'",
            "nightscore run --pipeline flights --ds 2013-12-10 --model 3 --allow-older-model",
            "nightscore run --pipeline flights --ds 2013-12-10 --until features",
        ),
    ),
    Command(
        "prepare",
        prepare,
        ("nightscore prepare --pipeline flights --from 2013-01-01 --to 2013-12-31",),
    ),
    Command(
        "score",
        score,
        (
            "nightscore score --pipeline flights --ds 2013-12-10",
            "nightscore score --pipeline flights --ds 2013-12-10 --model challenger",
        ),
    ),
)
