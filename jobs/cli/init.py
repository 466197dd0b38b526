"""Command `init`: from files that nobody described to a pipeline that a person corrects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_store.definition.row_rules import UNWRITTEN
from feature_store.errors import UsageError
from jobs.cli.command import Command
from jobs.cli.guessed import print_guess
from jobs.cli.options import Json
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.version import ROOT

if TYPE_CHECKING:
    from jobs.init.proposal import Proposal


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the pipeline is called.")],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="FILE",
            help="A CSV or Parquet file, a folder of them or a pattern in quotes; may be repeated.",
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="More files, as a shell makes them of a *."),
    ] = None,
    into: Annotated[
        str,
        typer.Option(
            "--into",
            metavar="DIR",
            help="The checkout to write to; by default the one that runs and finds pipelines.",
        ),
    ] = str(ROOT),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be written, and write nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write the two files although they are there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Guess a pipeline from files, say why, and write it: a stream and a definition.

    Keys, times, types, label and features are guesses; each is written with the reason beside it,
    for a person to correct. The rows of a day are found by a day in the files' paths, or else by a
    column. Files of another table are told of, and left out. Ends with the commands that train a
    first model and run a first night.
    """
    from jobs.init.place import put_down, require_free
    from jobs.init.proposal import places, propose

    root = Path(into).absolute()
    if not root.is_dir():
        raise UsageError(f"--into={into!r}: is no folder. Name the checkout to write to")
    paths = places(name, root)
    if not force:
        require_free(paths)
    with Progress() as progress, progress.step("look at the files"):
        found = propose(name, [*data, *(more or ())])
    if not dry_run:
        put_down(dict(zip(paths, found.texts.values(), strict=True)))
    if as_json:
        print(json_text(_as_dict(found, paths, is_written=not dry_run)))
        return
    print_guess(found.guess)
    print_line("")
    for path, text in zip(paths, found.texts.values(), strict=True):
        print_line(f"{'would write' if dry_run else 'wrote'} {path}")
        if dry_run:
            for line in ("", *text.splitlines(), ""):
                print_line(line)
    for line in _next_steps(found, paths, root):
        print_line(line)


def _next_steps(found: Proposal, paths: tuple[Path, Path], root: Path) -> list[str]:
    """Return what a person does with what was written."""
    said = []
    if root != ROOT:
        said.append(f"next: bring both files to {ROOT}, where pipelines are found")
    if found.guess.label is None:
        said.append(
            f"next: write the label in {paths[1]}, where {UNWRITTEN} stands: "
            f"{found.guess.no_label}. Until then {found.name} is refused"
        )
    commands = _commands(found)
    if not commands:
        said.append("next: have more days delivered: a first model takes three, better thirty")
    return [*said, *(f"next: {command}" for command in commands)]


def _commands(found: Proposal) -> list[str]:
    days = found.days
    if days is None:
        return []
    pipeline = f"--pipeline {found.name}"
    return [
        f"nightscore train {pipeline} --from {days.first} --to {days.last} "
        f"--eval-to {days.eval_to}",
        f"nightscore run {pipeline} --ds {days.eval_to}",
    ]


def _as_dict(found: Proposal, paths: tuple[Path, Path], *, is_written: bool) -> dict[str, Any]:
    guess = found.guess
    return {
        "pipeline": found.name,
        "files": [str(path) for path in paths],
        "written": is_written,
        "rows": guess.rows,
        "first_day": guess.source.first_day.isoformat(),
        "last_day": guess.source.last_day.isoformat(),
        "keys": list(guess.keys.columns),
        "event_time": guess.event.column,
        "label": guess.label.expression if guess.label else None,
        "features": [feature.name for feature in guess.features],
        "histories": [history.name for history in guess.histories],
        "notes": list(guess.notes),
        "next": _commands(found),
    }


COMMANDS = (
    Command(
        "init",
        init,
        (
            "nightscore init shop --data clicks.csv",
            "nightscore init shop --data /data/clicks/ --dry-run",
            "nightscore init shop --data '/data/clicks/ds=2026-*/*.parquet'",
            "nightscore init shop --data clicks.csv --data users.csv --force --json",
        ),
    ),
)
