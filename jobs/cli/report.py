"""Command `report`: the page of one night."""

from __future__ import annotations

from jobs.cli.command import Command
from jobs.cli.options import Ds, Json, Pipeline
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, pipeline_day


def report(pipeline: Pipeline, ds: Ds, as_json: Json = False) -> None:
    """Write the report of a night and print where it is.

    A night that was not published has one too: it says what stopped it.
    """
    definition, day = pipeline_day(pipeline, ds)
    with (
        Progress() as progress,
        open_context(definition, progress, "report", is_quick=True) as context,
    ):
        from jobs.report.render import render_with_verdict

        with progress.step("report"):
            path, verdict = render_with_verdict(context, day)
    if as_json:
        told = {
            "level": verdict.level,
            "verdict": verdict.title,
            "reasons": list(verdict.reasons),
            "unknown": list(verdict.unknown),
        }
        print(json_text({"pipeline": pipeline, "ds": ds, "path": path, **told}))
    else:
        print_line(path)


COMMANDS = (
    Command(
        "report",
        report,
        (
            "nightscore report --pipeline flights --ds 2013-12-10",
            "nightscore report --pipeline flights --ds 2013-12-10 --json",
        ),
    ),
)
