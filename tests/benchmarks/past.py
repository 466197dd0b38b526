"""A home with years of nights behind it, made without running them.

What a night leaves is copied: of one real night every commit of every table, its files and its
lines in the log, is written again for each earlier day, one commit a table and night as in life.
Only dates differ. Rows of such a day are those of the real night, so nobody should score from them;
what is read to plan, to publish, to report and to compact is all there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from feature_store.schema import DS


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """One commit of the real night: the text of its log file and the data files it added."""

    table: Path
    text: str
    files: tuple[str, ...]
    """Paths below the table, as the log writes them."""


def versions(tables: Path) -> dict[Path, int]:
    """Return the newest version of every table below a pipeline's folder."""
    newest: dict[Path, int] = {}
    for log in sorted(tables.glob("*/_delta_log/*.json")):
        if log.stem.isdigit():
            table = log.parent.parent
            newest[table] = max(newest.get(table, -1), int(log.stem))
    return newest


def commits_since(tables: Path, before: dict[Path, int], night: date) -> list[Commit]:
    """Return what a night committed to the tables that it keeps days in, oldest first."""
    found = []
    for table, newest in versions(tables).items():
        for version in range(before.get(table, -1) + 1, newest + 1):
            text = _log_file(table, version).read_text()
            actions = [json.loads(line) for line in text.splitlines() if line]
            added = tuple(action["add"]["path"] for action in actions if "add" in action)
            # The lineage is derived: what is missing in it is read from the logs by the next run.
            if night.isoformat() in text and table.name != "lineage":
                found.append(Commit(table=table, text=text, files=added))
    return found


def extend(tables: Path, commits: Sequence[Commit], night: date, days: Sequence[date]) -> None:
    """Write the commits of `night` again for each of `days`."""
    newest = versions(tables)
    for day in days:
        for commit in commits:
            newest[commit.table] += 1
            text = commit.text.replace(night.isoformat(), day.isoformat())
            for path in commit.files:
                copied = _copy(commit.table, path, night, day)
                text = text.replace(path.replace(night.isoformat(), day.isoformat()), copied)
            _log_file(commit.table, newest[commit.table]).write_text(text)


def checkpoint(tables: Path) -> None:
    """Write the checkpoint that Delta would have made on the way: every tenth commit has one."""
    for table in versions(tables):
        DeltaTable(str(table)).create_checkpoint()


def _copy(table: Path, path: str, night: date, day: date) -> str:
    """Copy a data file to another day and return its path as the log writes it."""
    if f"{DS}={night}" in path:
        moved = path.replace(night.isoformat(), day.isoformat())
        target = table / unquote(moved)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table / unquote(path), target)
        return moved
    # Without partitions the day is a column.
    moved = f"{day}-{path}"
    rows = pq.ParquetFile(table / unquote(path)).read()
    place = rows.schema.get_field_index(DS)
    column = pa.array([day] * rows.num_rows, rows.schema.field(place).type)
    copied = rows.set_column(place, rows.schema.field(place), column)
    # As Spark writes times: it reads no whole numbers of nanoseconds.
    pq.write_table(copied, table / unquote(moved), use_deprecated_int96_timestamps=True)
    return moved


def _log_file(table: Path, version: int) -> Path:
    return table / "_delta_log" / f"{version:020d}.json"
