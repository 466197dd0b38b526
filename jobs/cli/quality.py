"""Command `quality`: how good published scores turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from feature_store import definitions
from jobs.cli.command import Command
from jobs.cli.options import First, Json, Last, Pipeline
from jobs.cli.output import print_json, print_table
from jobs.cli.progress import Progress
from jobs.cli.session import open_context
from jobs.config import day_range

_NUMBERS = (
    ("came true", "base_rate"),
    ("mean score", "mean_score"),
    ("AUC", "auc"),
    ("logloss", "logloss"),
    ("base rate's", "base_logloss"),
    ("ECE", "ece"),
)


def quality(
    pipeline: Pipeline,
    first: First,
    last: Last,
    by: Annotated[
        str, typer.Option("--by", help="Also by the values of a column of the features.")
    ] = "",
    min_rows: Annotated[
        int, typer.Option("--min-rows", min=1, help="With --by: labelled rows of a value at least.")
    ] = 30,
    as_json: Json = False,
) -> None:
    """Say how good the published scores of each night turned out, of labels that are known.

    AUC, logloss beside that of giving every row the night's own base rate, and calibration error.
    `against` names what speaks against a night beyond doubt: `base rate` (knowing nothing of a row
    was better), `calibration` or `AUC` (a limit of the gate), `order` (high scores came true less
    often). A night with `labels_later` has labels that become known later; nothing is held against
    it before. Exits with 1 where nothing of the range is published.
    """
    definition = definitions.load(pipeline)
    days = day_range(definition, first, last)
    if by:
        from jobs.report.quality_rows import check_column

        check_column(definition, by)
    with (
        Progress() as progress,
        open_context(definition, progress, "quality", is_quick=True, is_lazy=True) as context,
    ):
        from jobs.report.quality_rows import realised_rows

        with progress.step("quality"):
            rows = list(realised_rows(context, days, by, min_rows))
    if as_json:
        print_json(rows)
        return
    titles = ["ds", "label", *([by] if by else []), "labelled", *(title for title, _ in _NUMBERS)]
    right = ["labelled", *(title for title, _ in _NUMBERS)]
    print_table([*titles, "model", "against"], [_row(row, by) for row in rows], right=right)


def _row(row: Mapping[str, Any], by: str) -> list[object]:
    numbers = [row.get(name) for _, name in _NUMBERS]
    against = ", ".join(row.get("against", ()))
    if row["labels_later"]:
        against = f"{row['labels_later']:,} labels come later"
    elif not row["rows"]:
        against = "no labels yet"
    return [
        row["ds"],
        row["label"],
        *([row.get("value", "")] if by else []),
        f"{row['rows']:,}",
        *("–" if number is None else f"{number:.4f}" for number in numbers),
        row["model"],
        against,
    ]


COMMANDS = (
    Command(
        "quality",
        quality,
        (
            "nightscore quality --pipeline flights --from 2013-12-10 --to 2013-12-14",
            "nightscore quality --pipeline flights --from 2013-12-10 --to 2013-12-14 --by carrier",
            "nightscore quality --pipeline flights --from 2013-12-10 --to 2013-12-14 --json",
        ),
    ),
)
