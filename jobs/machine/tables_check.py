"""Whether somebody else changed what the tables under a home hold, from their logs alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feature_store.errors import NightscoreError
from feature_store.schema import LINEAGE
from feature_store.tables.lineage import Lineage
from feature_store.tables.snapshot import read_rows
from feature_store.tables.storage import LocalStorage
from feature_store.tables.table_log import LogTip, TableLog

if TYPE_CHECKING:
    from feature_store.home import Home


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong with a table."""

    pipeline: str
    what: str
    remedy: str


def findings(home: Home) -> Iterator[Finding]:
    """Yield what was changed by somebody else, and what is broken, in every table of a local home.

    Only the logs are read, and of them what the lineage does not say already.
    """
    root = home.local_path("tables")
    for pipeline in sorted(os.listdir(root)) if root.is_dir() else []:
        try:
            lineage = _lineage(home, pipeline)
        except NightscoreError as error:
            yield Finding(pipeline=pipeline, what=str(error), remedy="")
            lineage = Lineage()
        folder = root / pipeline
        for name in sorted(os.listdir(folder)):
            # A name that begins with a dot is of a table on its way out.
            if name[0] != "." and (folder / name / "_delta_log").is_dir():
                yield from _of_table(str(folder / name), pipeline, name, lineage)


def _of_table(location: str, pipeline: str, name: str, lineage: Lineage) -> Iterator[Finding]:
    table, _, generation = name.partition(".g")
    tip = LogTip(location, LocalStorage())
    log = TableLog(tip, table, int(generation or 1))
    try:
        log.look(lambda table_id: lineage.remembered(table, table_id))
    except NightscoreError as error:
        yield Finding(pipeline=pipeline, what=str(error), remedy="")
        return
    changed = sorted((c for c in log.days.values() if c.foreign), key=lambda c: c.key)
    if changed:
        days = sorted({commit.ds for commit in changed})
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        run = f" run {changed[0].run_id}" if changed[0].run_id else ""
        yield Finding(
            pipeline=pipeline,
            what=(
                f"{pipeline}.{name}: somebody else changed ds={changed[0].ds}{run}{more}: "
                f"{changed[0].foreign}"
            ),
            remedy=(
                f"make it anew: nightscore backfill --pipeline {pipeline} --from {days[0]} "
                f'--to {days[-1]} --reason "changed by somebody else"'
            ),
        )


def _lineage(home: Home, pipeline: str) -> Lineage:
    location, storage = home.table(pipeline, LINEAGE), LocalStorage()
    if LogTip(location, storage).newest() is None:
        return Lineage()
    return Lineage.of(read_rows(storage, location, f"{pipeline}.{LINEAGE}"))
