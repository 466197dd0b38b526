"""Commands on published scores: `scores` shows those of a day, `scores rollback` goes back."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain, islice
from typing import Annotated

import typer

from jobs.cli.command import Command, examples_text, group
from jobs.cli.options import Ds, Json, Pipeline
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, pipeline_day, who

DEFAULT_LIMIT = 20


def show(
    context: typer.Context,
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", help="Name of the pipeline.")] = "",
    ds: Annotated[str, typer.Option("--ds", help="The UTC day, YYYY-MM-DD.")] = "",
    as_json: Json = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=0, help="Rows at most; 0 for all. By default 20, with --json all."
        ),
    ] = None,
) -> None:
    """Show the published scores of a day, or go back to an earlier run.

    Ordered by the keys of the pipeline; with --json one object per score.
    """
    if context.invoked_subcommand is not None:
        return
    for name, value in (("--pipeline", pipeline), ("--ds", ds)):
        if not value:
            raise typer.BadParameter("is needed to show the scores of a day", param_hint=name)
    rows = (0 if as_json else DEFAULT_LIMIT) if limit is None else limit
    definition, day = pipeline_day(pipeline, ds)
    with (
        Progress() as progress,
        open_context(definition, progress, "scores", is_quick=True) as opened,
    ):
        from jobs.cli import show as shown

        progress.expect("read scores")
        publication = shown.publication_of(opened, day)
        found = shown.score_rows(shown.published_scores(opened, day), rows)
        first = list(islice(found, 1))  # the work is done when the first is there
        progress.close()
        if as_json:
            shown.print_json(chain(first, found))
        else:
            shown.print_table(opened.definition, publication, chain(first, found))


def rollback(
    pipeline: Pipeline,
    ds: Ds,
    why: Annotated[str, typer.Option("--why", help="The reason, for the ledger.")],
    to_run: Annotated[
        str, typer.Option("--to-run", help="The run to go back to; by default the one before.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Publish an earlier run of a day again.

    Its scores are still there: nothing is computed. Running the day again does not undo it.
    """
    definition, day = pipeline_day(pipeline, ds)
    with (
        Progress() as progress,
        open_context(definition, progress, "rollback", is_quick=True) as context,
    ):
        from jobs.night.publish import rollback as roll_back

        progress.expect("rollback")
        row = roll_back(context, day, who=who(), why=why, to_run=to_run or None)
    if as_json:
        found = {**asdict(row), "ds": ds, "published_at": row.published_at.isoformat()}
        print(json.dumps(found))
    else:
        print(
            f"{pipeline} {ds}: run {row.run_id} (model version {row.model_version}, "
            f"{row.rows:,} rows) is published again, sequence {row.sequence}"
        )


app = group(
    "Show the published scores of a day, or go back to an earlier run.",
    Command(
        "rollback",
        rollback,
        ("nightscore scores rollback --pipeline flights --ds 2013-12-10 --why 'bad model'",),
    ),
)
app.callback(
    invoke_without_command=True,
    epilog=examples_text(
        (
            "nightscore scores --pipeline flights --ds 2013-12-10",
            "nightscore scores --pipeline flights --ds 2013-12-10 --json > scores.jsonl",
            "nightscore scores rollback --pipeline flights --ds 2013-12-10 --why 'bad model'",
        )
    ),
)(show)
