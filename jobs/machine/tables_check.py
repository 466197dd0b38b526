"""Whether somebody else changed what the tables under a home hold, from their logs alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.errors import NightscoreError
from feature_store.schema import LINEAGE, STREAMS, stream_table
from feature_store.tables.lineage import Lineage
from feature_store.tables.snapshot import read_rows
from feature_store.tables.storage import LocalStorage
from feature_store.tables.table_log import LogTip, Remembered, TableLog

if TYPE_CHECKING:
    from feature_store.home import Home


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong with a table."""

    what: str
    remedy: str


def findings(home: Home) -> Iterator[Finding]:
    """Yield what was changed by somebody else, and what is broken, in every table of a local home.

    Only the logs are read, and of them what the lineage does not say already.
    """
    root = home.local_path("tables")
    lineages: dict[str, Lineage] = {}
    for pipeline in _folders(root):
        if pipeline == STREAMS:
            continue
        try:
            lineages[pipeline] = _lineage(home, pipeline)
        except NightscoreError as error:
            yield Finding(what=str(error), remedy="")
            lineages[pipeline] = Lineage()
    for pipeline, lineage in lineages.items():
        for name in _tables(root / pipeline):
            yield from _of_table(str(root / pipeline / name), pipeline, name, {pipeline: lineage})
    for stream in _folders(root / STREAMS):
        for name in _tables(root / STREAMS / stream):
            location, table = str(root / STREAMS / stream / name), stream_table(stream, name)
            yield from _of_table(location, "", table, lineages)


def _folders(root: Path) -> list[str]:
    return sorted(os.listdir(root)) if root.is_dir() else []


def _tables(folder: Path) -> list[str]:
    """Return the tables of a folder; a name that begins with a dot is of one on its way out."""
    names = (name for name in _folders(folder) if name[0] != ".")
    return [name for name in names if (folder / name / "_delta_log").is_dir()]


def _of_table(
    location: str, pipeline: str, name: str, lineages: Mapping[str, Lineage]
) -> Iterator[Finding]:
    """Yield what was changed in a table: of a pipeline, or of a stream that several may read."""
    table, _, generation = name.partition(".g")
    tip = LogTip(location, LocalStorage())
    log = TableLog(tip, table, int(generation or 1))

    def remembered(table_id: str) -> Remembered:
        # Who saw most of the log spares most of it.
        found = (lineage.remembered(table, table_id) for lineage in lineages.values())
        return max(found, key=lambda own: len(own.versions), default=Remembered())

    try:
        log.look(remembered)
    except NightscoreError as error:
        yield Finding(what=str(error), remedy="")
        return
    changed = sorted((c for c in log.days.values() if c.foreign), key=lambda c: c.key)
    if changed:
        days = sorted({commit.ds for commit in changed})
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        run = f" run {changed[0].run_id}" if changed[0].run_id else ""
        title = f"{pipeline}.{name}" if pipeline else name
        yield Finding(
            what=(
                f"{title}: somebody else changed ds={changed[0].ds}{run}{more}: "
                f"{changed[0].foreign}"
            ),
            remedy=(
                f"make it anew: nightscore backfill --pipeline "
                f"{pipeline or 'one that reads the stream'} --from {days[0]} "
                f'--to {days[-1]} --reason "changed by somebody else"'
            ),
        )


def _lineage(home: Home, pipeline: str) -> Lineage:
    location, storage = home.table(pipeline, LINEAGE), LocalStorage()
    if LogTip(location, storage).newest() is None:
        return Lineage()
    return Lineage.of(read_rows(storage, location, f"{pipeline}.{LINEAGE}"))
