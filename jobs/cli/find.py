"""Command `find`: where an entity left rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from feature_store import definitions
from feature_store.errors import UsageError
from jobs.cli.command import Command
from jobs.cli.options import Json, Pipeline
from jobs.cli.output import print_json, print_line, print_table
from jobs.cli.progress import Progress
from jobs.cli.session import open_context


def find(
    entity: Annotated[str, typer.Argument(metavar="COLUMN=VALUE", help="Such as user_id=u00017.")],
    pipeline: Pipeline,
    as_json: Json = False,
) -> None:
    """Say how many rows each table of a pipeline and of its streams has of an entity.

    Where the entity has another name, because histories, outcomes or lookups are asked by it, it is
    found by that name. Events are looked at with their earlier versions, quarantine as delivered,
    training sets by the hash that they keep. Every file is read; nothing is changed.
    """
    definition = definitions.load(pipeline)
    column, is_given, value = entity.partition("=")
    if not (column and is_given and value):
        raise UsageError(f"{entity!r}: must be written COLUMN=VALUE, such as user_id=u00017")
    with (
        Progress() as progress,
        open_context(definition, progress, "find", is_lazy=True) as context,
    ):
        from jobs.maintenance.traces import entity_columns, traces

        columns = entity_columns(definition, column)
        with progress.step("find"):
            found = list(traces(context, columns, value))
    if as_json:
        print_json(
            {**asdict(trace), "first": _text(trace.first), "last": _text(trace.last)}
            for trace in found
        )
        return
    held = [trace for trace in found if trace.rows]
    if held:
        print_table(
            ["table", "rows", "days", "first", "last"],
            [[t.table, f"{t.rows:,}", t.days, t.first, t.last] for t in held],
            right=["rows", "days"],
        )
    print_line(
        f"{entity}: {sum(trace.rows for trace in held):,} rows in {len(held)} of {len(found)} "
        f"tables of {pipeline}"
    )


def _text(day: object) -> str | None:
    return None if day is None else str(day)


COMMANDS = (
    Command(
        "find",
        find,
        (
            "nightscore find user_id=u00017 --pipeline shop_reorder",
            "nightscore find tailnum=N14228 --pipeline flights --json",
        ),
    ),
)
