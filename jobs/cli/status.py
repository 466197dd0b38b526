"""Command `status`: how the last nights of every pipeline ended."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from jobs.cli.command import Command
from jobs.cli.errors import say
from jobs.cli.options import Json, SomePipeline
from jobs.cli.output import print_json, print_line, print_table
from jobs.config import check_day, parse_ds

if TYPE_CHECKING:
    from jobs.night.status import NightStatus

_TITLES = ("pipeline", "ds", "status", "deadline", "rows", "model", "run", "note")
_NOTE_LENGTH = 100


def status(
    pipeline: SomePipeline = "",
    nights: Annotated[
        int, typer.Option("--nights", "-n", min=1, max=366, help="Nights of each pipeline.")
    ] = 7,
    ds: Annotated[str, typer.Option("--ds", help="Only this UTC day, YYYY-MM-DD.")] = "",
    as_json: Json = False,
) -> None:
    """Say how the last nights of every pipeline ended; starts nothing and reads no scores.

    `published`, `failed`, or `not run` for a day between others that nobody tried. Exits with 1
    where the newest night shown of a pipeline is not published, so that a script can wait for it.
    """
    from feature_store.home import Home
    from jobs.night.status import night_statuses

    names = [pipeline] if pipeline else definitions.names()
    sound, broken = definitions.load_all() if not pipeline else ({}, {})
    if pipeline:
        sound = {pipeline: definitions.load(pipeline)}
    day = parse_ds(ds) if ds else None
    if day is not None and pipeline:
        check_day(sound[pipeline], day)
    home = Home.from_env()
    found: list[NightStatus] = []
    newest: list[NightStatus] = []
    for name in names:
        if name in sound:
            of_pipeline = night_statuses(home, sound[name], nights, day)
            found += of_pipeline
            newest += of_pipeline[-1:]
    if as_json:
        print_json({**asdict(one), "ds": one.ds.isoformat()} for one in found)
    elif found:
        print_table(_TITLES, (_row(one) for one in found), right=("rows",))
    else:
        print_line("no night has run yet")
    for error in broken.values():
        say(str(error))
    if any(one.status != "published" for one in newest):
        raise typer.Exit(1)


def _row(night: NightStatus) -> tuple[object, ...]:
    model = f"{night.model_name} {night.model_version}" if night.run_id else ""
    note = night.note if len(night.note) <= _NOTE_LENGTH else f"{night.note[:_NOTE_LENGTH]}…"
    rows = f"{night.rows:,}" if night.run_id else ""
    return (
        night.pipeline, night.ds, night.status, night.deadline, rows, model, night.run_id, note
    )  # fmt: skip


COMMANDS = (
    Command(
        "status",
        status,
        (
            "nightscore status",
            "nightscore status --pipeline flights --nights 30 --json",
            "nightscore status --pipeline flights --ds 2013-12-10 && echo published",
        ),
    ),
)
