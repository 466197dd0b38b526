"""Reads small tables without Spark: seconds where starting Spark takes ten.

For commands that look at a day or two. What is computed for a table is read by `Warehouse`, which
pins versions; nothing read here is ever an input to a step. Local homes only: an object store is
read with the credentials that Spark was given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from feature_store.errors import TableDamaged, UsageError
from feature_store.schema import DS, RUN_ID
from feature_store.tables import generations
from feature_store.tables.storage import LocalStorage

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
        return bool(self._places(table))

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
            columns: what to read; null where the table has no such column.
            days: values of `ds`.
            run_id: the run whose rows are wanted.
            order_by: (column, whether the largest comes first), most important first.
            limit: rows at most; 0 for all.

        Raises:
            TableDamaged: the log or a file of the table cannot be read.
        """
        conditions = _conditions(days, run_id)
        # A day or a run lies in one of the tables of a name; rows of several are not put in order.
        for place in self._places(table):
            yield from self._rows(table, place, columns, conditions, order_by, limit)

    def _rows(
        self,
        table: str,
        place: Path,
        columns: Sequence[str],
        conditions: Sequence[str],
        order_by: Sequence[tuple[str, bool]],
        limit: int,
    ) -> Iterator[dict[str, Any]]:
        import deltalake

        self._check_newest(table, place)
        try:
            opened = deltalake.DeltaTable(str(place))
            there = {field.name for field in opened.schema().fields}
            told = [name for name in columns if name in there]
            order = [(name, last) for name, last in order_by if name in there]
            query = _query(told, conditions, order, limit)
            for batch in deltalake.QueryBuilder().register("t", opened).execute(query):
                yield from ({**dict.fromkeys(columns), **row} for row in _dicts(batch))
        except Exception as error:  # delta-rs has no one class for what a broken file may raise
            raise self._damaged(table, place, str(error)) from error

    def unneeded_bytes(self, table: str, hours: float, without: Collection[str] = ()) -> int:
        """Return the bytes of files that no version of the last `hours` needs; removes nothing.

        Args:
            table: a table of this pipeline.
            hours: how long ago a version may be needed.
            without: names of folders to leave out.

        Raises:
            TableDamaged: the log of the table cannot be read.
        """
        places = (place for place in self._places(table) if place.name not in without)
        return sum(self._unneeded(table, place, hours) for place in places)

    def _unneeded(self, table: str, place: Path, hours: float) -> int:
        import deltalake

        self._check_newest(table, place)
        try:
            opened = deltalake.DeltaTable(str(place))
            files = opened.vacuum(math.ceil(hours), dry_run=True, enforce_retention_duration=False)
        except Exception as error:  # delta-rs has no one class for what a broken file may raise
            raise self._damaged(table, place, str(error)) from error
        paths = [place / unquote(file) for file in files]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def _places(self, table: str) -> list[Path]:
        """Return the folders of a table that have a commit, oldest first."""
        found = generations.find(LocalStorage(), self.home, self.pipeline, table)
        places = (Path(generations.location(self.home, self.pipeline, table, g)) for g in found)
        return [place for place in places if any(_commits(place))]

    def _check_newest(self, table: str, place: Path) -> None:
        """Refuse an empty newest log file: readers of Delta take it for a commit of nothing."""
        newest = max(_commits(place), key=lambda file: file.name)
        if newest.stat().st_size == 0:
            raise self._damaged(table, place, f"{newest}: the file is empty")

    def _damaged(self, table: str, place: Path, why: str) -> TableDamaged:
        first = (why.strip().splitlines() or ["no reason given"])[0]
        return TableDamaged(
            f"{self.pipeline}.{table} cannot be read at {place}: {first}. Restore the "
            "file from a copy of the home. If it is the newest file of _delta_log and was being "
            "written when a disk was full or a machine went down, remove it: the table is then as "
            "it was before that commit"
        )


def _commits(place: Path) -> Iterator[Path]:
    """Yield the files of a table's commits."""
    log = place / "_delta_log"
    if log.is_dir():
        yield from (file for file in log.iterdir() if _LOG_FILE.match(file.name))


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
