"""Command `maintain`: keeps a pipeline's state from growing, and says what that frees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from feature_store import definitions
from feature_store.schema import SCORES
from feature_store.text import bytes_text
from jobs.cli.command import Command
from jobs.cli.options import Json, Pipeline
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.maintenance.models import ModelsMaintained
    from jobs.maintenance.tables import Maintained


def maintain(
    pipeline: Pipeline,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    runs_per_day: Annotated[
        int, typer.Option("--runs-per-day", min=1, help="Published runs kept per day.")
    ] = 2,
    file_hours: Annotated[
        float,
        typer.Option("--file-hours", min=168.0, help="Keep files that versions so old need."),
    ] = 168.0,
    search: Annotated[
        bool, typer.Option("--search", help="Also search for files that killed writes left.")
    ] = False,
    keep_models: Annotated[
        int,
        typer.Option("--keep-models", min=1, help="Keep models that scored in so many last days."),
    ] = 30,
    as_json: Json = False,
) -> None:
    """Compact tables, remove scores nobody reads, delete files no version needs.

    A table from before a column changed its type goes when all its days have been made anew.
    Of models it keeps champion, challenger, the five newest, and those of --keep-models; the
    bundles of the others go, and the training sets that only these learned from.
    """
    definition = definitions.load(pipeline)
    with (
        Progress() as progress,
        open_context(definition, progress, "maintain", is_lazy=dry_run) as context,
    ):
        from jobs.maintenance.models import ModelRetention, maintain_models
        from jobs.maintenance.tables import Retention
        from jobs.maintenance.tables import maintain as run_maintenance

        retention = Retention(runs_per_day=runs_per_day, file_hours=file_hours, is_search=search)
        before = 0 if dry_run else _used(context)
        done = run_maintenance(context, retention, progress.note, dry_run=dry_run)
        kept = ModelRetention(used_days=keep_models)
        models = maintain_models(context, kept, progress.note, dry_run=dry_run)
        if dry_run:
            with progress.step("look at files"):
                freed = _would_free(context, done, models, file_hours)
        else:
            freed = {"all": max(0, before - _used(context))}
    if as_json:
        told = {"dry_run": dry_run, **asdict(done), **asdict(models), "bytes_freed": freed}
        print(json_text(told))
        return
    verb = "would remove" if dry_run else "removed"
    print_line(
        f"{pipeline}: {verb} {len(done.runs_removed)} runs, {len(models.bundles_removed)} bundles, "
        f"{len(models.training_sets_removed)} training sets, {len(done.tables_removed)} replaced "
        f"tables; {len(done.tables)} tables"
    )
    removed = (*models.bundles_removed, *models.training_sets_removed, *done.tables_removed)
    for thing in (*done.runs_removed, *removed):
        print_line(f"  {thing}")
    print_line(_freed_text(freed, file_hours) if dry_run else f"freed {bytes_text(freed['all'])}")


def _would_free(
    context: Context, done: Maintained, models: ModelsMaintained, file_hours: float
) -> dict[str, int]:
    """Return the bytes that would be freed, by what they are of."""
    from feature_store.tables.reader import Reader
    from jobs.registry import model_registry

    home, name = context.home, context.definition.name
    if not home.is_local:
        return {"runs": _run_bytes(context, done.runs_removed)}
    reader = Reader(home, name)
    removed = set(models.bundles_removed)
    bundles = [ref.path for ref in model_registry.list_models(home, name) if ref.title in removed]
    sets = [home.table(name, f"training_sets/{one}") for one in models.training_sets_removed]
    gone = done.tables_removed
    return {
        "files": sum(reader.unneeded_bytes(table, file_hours, gone) for table in done.tables),
        "tables": _folder_bytes(home.table(name, one) for one in gone),
        "bundles": _folder_bytes(bundles),
        "training_sets": _folder_bytes(sets),
        "runs": _run_bytes(context, done.runs_removed),
    }


def _run_bytes(context: Context, runs: Sequence[str]) -> int:
    """Return the bytes of runs, each `ds run_id`."""
    commits = context.warehouse.commits(SCORES)
    keys = [(SCORES, date.fromisoformat(ds), run) for ds, run in (one.split() for one in runs)]
    return sum(commits[key].bytes for key in keys if key in commits)


def _freed_text(freed: dict[str, int], file_hours: float) -> str:
    now = sum(size for what, size in freed.items() if what != "runs")
    return (
        f"would free {bytes_text(now)} now, and {bytes_text(freed['runs'])} of runs once no "
        f"version of the last {file_hours:g} hours needs their files"
    )


def _used(context: Context) -> int:
    """Return the bytes that a pipeline's tables, training sets and bundles take; 0 in a store."""
    home, name = context.home, context.definition.name
    if not home.is_local:
        return 0
    return _folder_bytes([home.path("tables", name), home.path("bundles", name)])


def _folder_bytes(folders: Iterable[str]) -> int:
    """Return the bytes of the files in and below folders, those that go meanwhile left out."""
    total = 0
    for folder in folders:
        for path in Path(folder).rglob("*"):
            try:
                total += path.lstat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
    return total


COMMANDS = (
    Command(
        "maintain",
        maintain,
        (
            "nightscore maintain --pipeline flights --dry-run",
            "nightscore maintain --pipeline flights --runs-per-day 3 --keep-models 90",
            "nightscore maintain --pipeline flights --json",
        ),
    ),
)
