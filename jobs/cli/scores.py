"""Commands on published scores: `scores` shows those of a day, `scores rollback` goes back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.command import Command, examples_text, group
from jobs.cli.options import Ds, Json, Pipeline, Why, names_like
from jobs.cli.output import json_text, print_json, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, pipeline_day, who

DEFAULT_LIMIT = 20
_TOO_MANY = "--limit and --top both say how many rows: give one of them"


def show(
    context: typer.Context,
    pipeline: Annotated[
        str,
        typer.Option("--pipeline", "-p", help="Name of the pipeline.", autocompletion=names_like),
    ] = "",
    ds: Annotated[str, typer.Option("--ds", help="The UTC day, YYYY-MM-DD.")] = "",
    as_json: Json = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=0, help="Rows at most; 0 for all. By default 20, with --json all."
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="So many rows, the highest score first.")
    ] = None,
) -> None:
    """Show the published scores of a day, or go back to an earlier run.

    Ordered by the keys of the pipeline, or with --top by score (of the first label, where there are
    several); with --json one object per row.
    """
    if context.invoked_subcommand is not None:
        return
    for name, value in (("--pipeline", pipeline), ("--ds", ds)):
        if not value:
            raise typer.BadParameter("is needed to show the scores of a day", param_hint=name)
    if top is not None and limit is not None:
        raise typer.BadParameter(_TOO_MANY, param_hint="--top")
    definition, day = pipeline_day(pipeline, ds)
    wanted = top if top is not None else limit
    rows = (0 if as_json else DEFAULT_LIMIT) if wanted is None else wanted
    with Progress() as progress:
        from jobs.cli.show import published

        with published(definition, day, rows, progress, is_top=top is not None) as found:
            if as_json:
                print_json(found.rows)
            else:
                found.print(definition.keys, definition.score_columns)


def rollback(
    pipeline: Pipeline,
    ds: Ds,
    why: Why,
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
        print(json_text(found))
    else:
        print_line(
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
    no_args_is_help=False,
    epilog=examples_text(
        (
            "nightscore scores --pipeline flights --ds 2013-12-10",
            "nightscore scores --pipeline flights --ds 2013-12-10 --top 10",
            "nightscore scores --pipeline flights --ds 2013-12-10 --json > scores.jsonl",
            "nightscore scores rollback --pipeline flights --ds 2013-12-10 --why 'bad model'",
        )
    ),
)(show)
