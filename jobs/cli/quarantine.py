"""Commands `quarantine show` and `quarantine release`: rows that were set aside."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from feature_store.errors import NightscoreError
from jobs.cli.command import Command, group
from jobs.cli.options import Ds, First, Json, Last, Pipeline, Why
from jobs.cli.output import print_json, print_line, print_table
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, who
from jobs.config import every_day, parse_ds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from jobs.maintenance.quarantined import Counted

StreamName = Annotated[
    str, typer.Option("--stream", help="Of this stream; by default the one that is scored.")
]


def show(
    pipeline: Pipeline,
    first: First,
    last: Last,
    stream: StreamName = "",
    reason: Annotated[str, typer.Option("--reason", help="Only rows set aside for it.")] = "",
    rows: Annotated[
        int, typer.Option("--rows", min=0, help="Show so many rows of each day and reason.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Say how many rows of a stream were set aside, on which day and why, and show some.

    `released` are rows that were let in since. Nothing is changed. With --json and --rows the rows
    are printed instead of their numbers.
    """
    definition = definitions.load(pipeline)
    days = every_day(first, last)
    with (
        Progress() as progress,
        open_context(definition, progress, "quarantine", is_quick=True, is_lazy=True) as context,
    ):
        from jobs.maintenance.quarantined import counted, examples, stream_of

        of = stream_of(definition, stream)
        with progress.step("look"):
            found = [one for one in counted(context, of, days) if reason in ("", one.reason)]
            shown = examples(context, of, days, reason, rows) if rows else []
    if as_json:
        print_json(shown if rows else (_plain(one) for one in found))
        return
    if not found:
        print_line(f"{of.name}: no row was set aside from {days[0]} to {days[-1]}")
        return
    _print(found)
    for row in shown:
        print_line(f"{row['ds']} {row['reason']}: {row['row']}  ({row['file'] or 'no file'})")


def release(
    pipeline: Pipeline,
    ds: Ds,
    reason: Annotated[
        str, typer.Option("--reason", help="Rows that were set aside for it, such as 'range(age)'.")
    ],
    why: Why,
    stream: StreamName = "",
    holding: Annotated[
        str,
        typer.Option("--holding", help="Only rows that hold this text, as they were delivered."),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many rows it would be.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let rows of a stream's quarantine in, although they break the rule of a column.

    Values out of their range and missing ones, of columns that are no key and no time; a row that
    breaks another rule besides stays where it is. It is on record who let them in and why. They
    come in as if the day had been delivered again: by the next night that reads it, or by a
    backfill, which also makes anew what was made without them. Where the source changes such a row,
    or gains a column, it is another row, and is set aside again. Exits with 1 where there is none.
    """
    definition, day = definitions.load(pipeline), parse_ds(ds)
    with (
        Progress() as progress,
        open_context(definition, progress, "quarantine", is_quick=True, is_lazy=dry_run) as context,
    ):
        from jobs.maintenance.quarantined import stream_of
        from jobs.night.released import Chosen, chosen_rows
        from jobs.night.released import release as let_in

        of = stream_of(definition, stream)
        chosen = Chosen(ds=day, reason=reason, holding=holding)
        with progress.step("release"):
            there = chosen_rows(context, of, chosen).count()
            new = 0 if dry_run or not there else let_in(context, of, chosen, who=who(), why=why)
    told = {"stream": of.name, "ds": ds, "reason": reason, "rows": there, "released": new}
    if as_json:
        print_json([told])
    else:
        _say(told, pipeline, dry_run=dry_run)
    if not there:
        raise NightscoreError(
            f"{of.name} ds={ds}: no row was set aside for {reason!r}"
            f"{f' that holds {holding!r}' if holding else ''}. Run: nightscore quarantine show "
            f"--pipeline {pipeline} --stream {of.name} --from {ds} --to {ds} --rows 3"
        )


def _print(found: Sequence[Counted]) -> None:
    print_table(
        ["ds", "reason", "rows", "events", "released", "can be released"],
        [
            [
                one.ds, one.reason, f"{one.rows:,}", f"{one.events:,}", f"{one.released:,}",
                "yes" if one.can_be_released else "no",
            ]
            for one in found
        ],
        right=["rows", "events", "released"],
    )  # fmt: skip


def _plain(one: Counted) -> dict[str, Any]:
    return {**asdict(one), "ds": str(one.ds)}


def _say(told: Mapping[str, Any], pipeline: str, *, dry_run: bool) -> None:
    what = f"{told['stream']} ds={told['ds']}"
    if dry_run:
        print_line(f"{what}: {told['rows']:,} rows would be released")
    elif told["released"]:
        print_line(
            f"{what}: {told['released']:,} rows are released. They come in with the next night "
            "that reads the day. What was made without them: nightscore plan --pipeline "
            f"{pipeline} --from ... --to ..."
        )
    elif told["rows"]:
        print_line(f"{what}: its {told['rows']:,} rows were released before")


app = group(
    "Look at rows that were set aside, and let some in.",
    Command(
        "show",
        show,
        (
            "nightscore quarantine show --pipeline flights --from 2013-12-01 --to 2013-12-14",
            "nightscore quarantine show --pipeline flights --stream nyc_weather \\",
            "    --from 2013-12-10 --to 2013-12-10 --rows 3",
        ),
    ),
    Command(
        "release",
        release,
        (
            "nightscore quarantine release --pipeline flights --ds 2013-12-10 \\",
            "    --reason 'range(distance)' --why 'a new route, measured' --dry-run",
        ),
    ),
)
