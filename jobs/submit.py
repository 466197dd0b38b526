"""What `spark-submit` starts: a night whose steps are told one by one, or any nightscore command.

    spark-submit jobs/submit.py [--receipt FILE] night --pipeline P --ds D [--step NAME] ...
    spark-submit jobs/submit.py [--receipt FILE] COMMAND ...

The receipt is JSON for whoever submitted: what each step came to and, after a failure, which step
failed, why, and whether a repeat may help. Master, memory and jars are what spark-submit chose.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.cli.progress import Progress
    from jobs.context import Context
    from jobs.night.night import NightRequest

log = logging.getLogger(__name__)

# Nothing of ours is imported above `_mend_path`, and jobs.night.steps.ORDER would bring Spark.
STEPS = (
    "ingest",
    "features",
    "check features",
    "score",
    "check scores",
    "publish",
    "report",
)


@dataclass
class Receipt:
    """What came of an application, written again after each step so that a kill loses nothing."""

    path: Path | None
    content: dict[str, Any] = field(default_factory=lambda: {"steps": {}})

    def step(self, name: str, seconds: float, note: str) -> None:
        """Record that a step is done."""
        self.content["steps"][name] = {"seconds": round(seconds, 3), "note": note}
        self.write()

    def fail(self, error: BaseException, step: str) -> None:
        """Record why the application failed, and in which step of a night."""
        from jobs.cli.explain import message_of
        from jobs.finality import failure_record

        self.content["failure"] = failure_record(error, message_of(error), step)
        self.write()

    def write(self) -> None:
        """Put the receipt in its place, whole."""
        if self.path is not None:
            draft = self.path.with_suffix(".draft")
            draft.write_text(json.dumps(self.content), encoding="utf-8")
            draft.replace(self.path)


def main(arguments: Sequence[str]) -> int:
    """Run what was submitted and return its exit code; an error is one message on stderr."""
    from jobs.cli.errors import told
    from jobs.cli.logs import configure

    parser = argparse.ArgumentParser(prog="submit.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--receipt", type=Path)
    options, command = parser.parse_known_args(arguments)
    receipt = Receipt(options.receipt)
    receipt.write()
    configure(verbose=True)
    try:
        if command[:1] == ["night"]:
            _night(_night_options(command[1:]), receipt)
            return 0
        return _command(command)
    except Exception as error:  # typed errors and surprises alike end as one message
        receipt.fail(error, _stopped_at(command, receipt))
        return told(error)


def _command(arguments: Sequence[str]) -> int:
    from jobs.cli.app import app

    try:
        app(list(arguments), prog_name="nightscore")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _night_options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="submit.py night", allow_abbrev=False)
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--ds", required=True)
    parser.add_argument("--model", default="champion")
    parser.add_argument("--reason", default="nightly")
    parser.add_argument("--step", choices=STEPS)
    parser.add_argument("--force", action="store_true")
    return parser.parse_args(arguments)


def _stopped_at(command: Sequence[str], receipt: Receipt) -> str:
    """Return the step of a night that failed: the first that is not done."""
    if command[:1] != ["night"]:
        return ""
    asked = _night_options(command[1:]).step
    return asked or next((s for s in STEPS if s not in receipt.content["steps"]), STEPS[-1])


def _night(options: argparse.Namespace, receipt: Receipt) -> None:
    from feature_store.home import Home
    from jobs.cli.progress import Progress
    from jobs.cli.session import open_context, pipeline_day, who
    from jobs.night.runs import recorded
    from jobs.registry import model_registry

    definition, day = pipeline_day(options.pipeline, options.ds)
    home = Home.from_env()
    progress = Progress(STEPS)
    with ExitStack() as stack:
        keep = recorded(
            home,
            definition.name,
            "step" if options.step else "night",
            [day],
            who=who(),
            why=options.reason,
        )
        record = stack.enter_context(keep)
        model = model_registry.get(home, options.pipeline, options.model)
        context = stack.enter_context(open_context(definition, progress, f"night {day}"))
        from jobs.night.night import NightRequest

        request = NightRequest(
            ds=day, model=model, force=options.force, who=who(), why=options.reason
        )
        if options.step:
            _one_step(context, request, receipt, options.step)
            record.outcome = "published" if options.step == "publish" else "done"
        else:
            _all_steps(context, request, receipt, progress)
            record.outcome = receipt.content["published"]["status"]
            record.rows = receipt.content["published"]["rows"]
        steps = receipt.content["steps"].items()
        record.steps |= {name: step["seconds"] for name, step in steps}


def _one_step(context: Context, request: NightRequest, receipt: Receipt, step: str) -> None:
    from jobs.night.night import run_step

    started = time.monotonic()
    is_report = step == STEPS[-1]
    note = _report(context, request, "") if is_report else run_step(context, request, step)
    receipt.step(step, time.monotonic() - started, note)
    print(f"{step}: {note}", flush=True)


def _all_steps(
    context: Context, request: NightRequest, receipt: Receipt, progress: Progress
) -> None:
    from jobs.night.night import run_night
    from jobs.report.verdict import why_train

    def on_step(name: str, seconds: float) -> None:
        receipt.step(name, seconds, "done")
        progress.on_step(name, seconds)

    try:
        result = run_night(context, request, on_step)
    except Exception as error:
        try:
            _report(context, request, str(error))
        except Exception:  # the night's own error is the one to end with
            log.exception("step=report ds=%s: the failed night has no page", request.ds)
        raise
    for name in STEPS[:-1]:
        if name not in receipt.content["steps"]:
            receipt.step(name, 0.0, result.status)
    receipt.content["published"] = {
        "pipeline": context.definition.name,
        "ds": result.ds.isoformat(),
        "run_id": result.run_id,
        "status": result.status,
        "rows": result.rows,
        "model_version": result.model_version,
        "notes": list(result.notes),
    }
    started = time.monotonic()
    path = _report(context, request, "")
    try:
        receipt.content["training_wanted"] = why_train(context, request.ds)
    except Exception:  # the night is published all the same; its page shows the drift
        log.exception("step=drift ds=%s: nobody is asked to train", request.ds)
    on_step("report", time.monotonic() - started)
    print(f"report: {path}", flush=True)


def _report(context: Context, request: NightRequest, failure: str) -> str:
    from jobs.report.render import render_report

    return str(render_report(context, request.ds, failure=failure))


def _mend_path() -> None:
    """Make our packages importable, and not our modules under their bare names.

    spark-submit puts this folder first on the path, where `train` or `config` would be everyone's.
    """
    here = Path(__file__).resolve().parent
    sys.path[:] = [str(here.parent), *(entry for entry in sys.path if entry != str(here))]


if __name__ == "__main__":
    _mend_path()
    sys.exit(main(sys.argv[1:]))
