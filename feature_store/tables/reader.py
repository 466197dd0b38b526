"""Reads small tables without Spark: seconds where starting Spark takes ten.

For commands that look at a day or two. What is computed for a table is read by `Warehouse`, which
pins versions; nothing read here is ever an input to a step. Local homes only: an object store is
read with the credentials that Spark was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from feature_store.errors import TableDamaged, UsageError
from feature_store.schema import DS, RUN_ID

if TYPE_CHECKING:
    from arro3.core import RecordBatch

    from feature_store.home import Home

_LOG_FILE = re.compile(r"\d{20}\.json\Z")
_RUN_ID = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Reader:
    """The tables of one pipeline under a local home, as they are now."""

    home: Home
    pipeline: str

    def exists(self, table: str) -> bool:
        """Whether a table has at least one commit."""
        log = self._place(table) / "_delta_log"
        return log.is_dir() and any(_LOG_FILE.match(entry.name) for entry in log.iterdir())

    def rows(
        self,
        table: str,
        columns: Sequence[str],
        *,
        days: Iterable[date] | None = None,
        run_id: str | None = None,
        order_by: Sequence[tuple[str, bool]] = (),
        limit: int = 0,
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table, of some days and of one run if given; none if it is not there.

        Args:
            table: a table of this pipeline.
            columns: what to read.
            days: values of `ds`.
            run_id: the run whose rows are wanted.
            order_by: (column, whether the largest comes first), most important first.
            limit: rows at most; 0 for all.

        Raises:
            TableDamaged: the log or a file of the table cannot be read.
        """
        if not self.exists(table):
            return
        import deltalake

        query = _query(columns, _conditions(days, run_id), order_by, limit)
        self._check_newest(table)
        try:
            opened = deltalake.DeltaTable(str(self._place(table)))
            for batch in deltalake.QueryBuilder().register("t", opened).execute(query):
                yield from _dicts(batch)
        except Exception as error:  # delta-rs has no one class for what a broken file may raise
            raise self._damaged(table, str(error)) from error

    def unneeded_bytes(self, table: str, hours: float) -> int:
        """Return the bytes of files that no version of the last `hours` needs; removes nothing.

        Raises:
            TableDamaged: the log of the table cannot be read.
        """
        if not self.exists(table):
            return 0
        import deltalake

        self._check_newest(table)
        place = self._place(table)
        try:
            opened = deltalake.DeltaTable(str(place))
            files = opened.vacuum(math.ceil(hours), dry_run=True, enforce_retention_duration=False)
        except Exception as error:  # delta-rs has no one class for what a broken file may raise
            raise self._damaged(table, str(error)) from error
        paths = [place / unquote(file) for file in files]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def _place(self, table: str) -> Path:
        return Path(self.home.table(self.pipeline, table))

    def _check_newest(self, table: str) -> None:
        """Refuse an empty newest log file: readers of Delta take it for a commit of nothing."""
        log = self._place(table) / "_delta_log"
        newest = max((e for e in log.iterdir() if _LOG_FILE.match(e.name)), key=lambda e: e.name)
        if newest.stat().st_size == 0:
            raise self._damaged(table, f"{newest}: the file is empty")

    def _damaged(self, table: str, why: str) -> TableDamaged:
        first = (why.strip().splitlines() or ["no reason given"])[0]
        return TableDamaged(
            f"{self.pipeline}.{table} cannot be read at {self._place(table)}: {first}. Restore the "
            "file from a copy of the home. If it is the newest file of _delta_log and was being "
            "written when a disk was full or a machine went down, remove it: the table is then as "
            "it was before that commit"
        )


def _conditions(days: Iterable[date] | None, run_id: str | None) -> list[str]:
    found = []
    if days is not None:
        listed = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(set(days)))
        found.append(f'"{DS}" IN ({listed})' if listed else "false")
    if run_id is not None:
        if not _RUN_ID.match(run_id):
            raise UsageError(f"run_id={run_id!r}: must be letters, digits, - and _ only")
        found.append(f"\"{RUN_ID}\" = '{run_id}'")
    return found


def _query(
    columns: Sequence[str],
    conditions: Sequence[str],
    order_by: Sequence[tuple[str, bool]],
    limit: int,
) -> str:
    """Return the query; names are quoted, values are dates, whole numbers and checked words."""
    listed = ", ".join(_quoted(name) for name in columns)
    text = f"SELECT {listed} FROM t"  # noqa: S608 - see above
    if conditions:
        text += f" WHERE {' AND '.join(conditions)}"
    if order_by:
        keys = (f"{_quoted(n)} {'DESC' if last else 'ASC'} NULLS FIRST" for n, last in order_by)
        text += f" ORDER BY {', '.join(keys)}"
    return f"{text} LIMIT {int(limit)}" if limit else text


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _dicts(batch: RecordBatch) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    columns = [batch.column(name).to_pylist() for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))
