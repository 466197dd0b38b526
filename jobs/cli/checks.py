"""Command `checks suggest`: checks that past days would have passed, as code to choose from."""

from __future__ import annotations

from dataclasses import asdict

from feature_store import definitions
from jobs.cli.command import Command, group
from jobs.cli.options import First, Json, Last, Pipeline
from jobs.cli.output import print_json, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context
from jobs.config import day_range

FEW_DAYS = 14


def suggest(pipeline: Pipeline, first: First, last: Last, as_json: Json = False) -> None:
    """Suggest checks of features, of what the days of a range hold; changes nothing.

    Rows a day, unique keys, and of each feature that is no history whether it has values, which
    ones if they are few, and in which range numbers lie. Bounds are wide, and each day of the range
    keeps them; checks that the pipeline has are left out. Paste what you want into its definition.
    Take days that were good, two weeks or more. Exits with 1 where there are no features of them.
    """
    definition = definitions.load(pipeline)
    days = day_range(definition, first, last)
    with (
        Progress() as progress,
        open_context(definition, progress, "checks", is_quick=True, is_lazy=True) as context,
        progress.step("look at features"),
    ):
        from jobs.maintenance.suggested import suggested

        found, looked = suggested(context, days)
    if as_json:
        print_json({**asdict(one.check), "seen": one.seen} for one in found)
        return
    from jobs.init.check_code import checks_code

    if not found:
        print_line(f"{pipeline} has a check of everything that would be suggested.")
        return
    print_line(f"# Of {looked} days of {pipeline}, {days[0]} to {days[-1]}; all of them pass.")
    if looked < FEW_DAYS:
        print_line(f"# That is few: what differs from week to week was not seen. Take {FEW_DAYS}.")
    for line in checks_code(found).splitlines():
        print_line(line)


app = group(
    "Suggest checks, of what past days hold.",
    Command(
        "suggest",
        suggest,
        (
            "nightscore checks suggest --pipeline flights --from 2013-11-01 --to 2013-11-30",
            "nightscore checks suggest --pipeline flights --from 2013-11-01 --to 2013-11-30 --json",
        ),
    ),
)
