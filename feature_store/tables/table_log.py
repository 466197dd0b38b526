"""The log of one Delta table, read once: a second look reads only what was committed since."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from feature_store.errors import TableDamaged
from feature_store.tables.commits import DayCommit, LogCommit, day_files, parse
from feature_store.tables.damage import damaged_log
from feature_store.tables.storage import Storage

_COMMIT = re.compile(r"(\d{20})\.json\Z")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint.*\.parquet\Z")

Key = tuple[str, date, str]
"""Table, day, run id (empty where a day has one content only)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What earlier processes read of a table's log."""

    days: tuple[DayCommit, ...] = ()
    versions: frozenset[int] = frozenset()
    """Every commit that was read, whether it said something about days or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A commit that was read and wrote no day of ours; remembered so that nobody reads it again."""

    table: str
    table_id: str
    generation: int
    version: int


News = DayCommit | Mark


@dataclass
class LogTip:
    """The newest commit of a table, found again without listing its log."""

    location: str
    storage: Storage
    version: int = -1
    """-1 where there is no table."""
    _stamp: tuple[int, int] | None = None
    """Of the newest commit's file: it changes only if the whole table did."""

    def newest(self) -> int | None:
        """Return the newest version now, or None where there is no table.

        Raises:
            TableDamaged: the file of the newest version is empty.
        """
        if self.is_same():
            for version in self.later():
                self.see(version)
        else:
            self.forget()
            self.see(max(self.versions(), default=-1))
        return self.version if self.version >= 0 else None

    def is_same(self) -> bool:
        """Whether what was seen is there still, so that only later commits are news."""
        return self.version >= 0 and self.storage.stamp(self.file(self.version)) == self._stamp

    def later(self) -> Iterator[int]:
        """Yield the versions after the newest one seen."""
        version = self.version + 1
        while self.storage.stamp(self.file(version)) is not None:
            yield version
            version += 1

    def see(self, version: int) -> None:
        """Take a version for the newest one, if it is later than what is.

        Raises:
            TableDamaged: its file is empty; Delta would take it for a commit that changes nothing.
        """
        if version > self.version:
            stamp = self.storage.stamp(self.file(version))
            if stamp is not None and stamp[0] == 0:
                raise damaged_log(self.file(version), "is empty")
            self.version, self._stamp = version, stamp

    def forget(self) -> None:
        """Know nothing again."""
        self.version, self._stamp = -1, None

    def versions(self) -> list[int]:
        """Return every version whose file is there, by listing the log."""
        matches = map(_COMMIT.match, self.storage.names(self.folder))
        return sorted(int(match.group(1)) for match in matches if match)

    @property
    def folder(self) -> str:
        """Where the log is."""
        return f"{self.location}/_delta_log"

    def file(self, version: int) -> str:
        """Return where a commit is."""
        return f"{self.folder}/{version:020d}.json"


@dataclass
class TableLog:
    """One Delta table in one folder, and what its log says about days."""

    tip: LogTip
    table: str
    generation: int
    table_id: str = ""
    """Delta's id of the table; another folder of the same name has another."""
    days: dict[Key, DayCommit] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The newest commit seen; -1 where there is no table."""
        return self.tip.version

    def look(self, remembered: Callable[[str], Remembered]) -> list[News]:
        """Learn of every commit that is not known yet, and return what was new.

        Args:
            remembered: what was written down of the table with an id, by earlier processes.

        Raises:
            TableDamaged: a file of the log is empty or broken.
        """
        if self.tip.is_same():
            return self._read(self.tip.later())
        # There was no table, or it is another one now: nothing known holds.
        self.table_id = ""
        self.tip.forget()
        self.days.clear()
        versions = self.tip.versions()
        if not versions:
            return []
        self.table_id = self._find_id(versions)
        known = remembered(self.table_id)
        for commit in known.days:
            self._remember(commit)
        # The newest is read in any case, for a broken one would be found by nobody else.
        self.read(versions[-1])
        news = self._read(v for v in versions if v not in known.versions)
        self.tip.see(versions[-1])
        return news

    def read(self, version: int) -> LogCommit:
        """Return what one commit says.

        Raises:
            TableDamaged: its file is empty or broken.
        """
        return parse(self.tip.file(version), version, self._text(version))

    def _read(self, versions: Iterable[int]) -> list[News]:
        news: list[News] = []
        for version in versions:
            commit = self.read(version)
            news += self._learn(commit)
            self.tip.see(version)
        return news

    def _learn(self, commit: LogCommit) -> list[News]:
        if commit.table_id and commit.table_id != self.table_id:
            self.days.clear()
            self.table_id = commit.table_id
        own = [
            dataclasses.replace(day, table_id=self.table_id, generation=self.generation)
            for day in commit.days
        ]
        for day in own:
            self._remember(day)
        changed = [
            self._mark_changed(key, commit.version, who)
            for (ds, run), who in commit.touched.items()
            for key in [(self.table, ds, run)]
            if key in self.days and self.days[key].version < commit.version
        ]
        for ds, run in commit.moved:
            moved = self.days.get((self.table, ds, run))
            if moved is not None:
                self.days[moved.key] = dataclasses.replace(moved, files=None)
        mark = Mark(
            table=self.table,
            table_id=self.table_id,
            generation=self.generation,
            version=commit.version,
        )
        return [*own] if own else [*changed, mark]

    def _remember(self, commit: DayCommit) -> None:
        known = self.days.get(commit.key)
        if known is None or commit.version >= known.version:
            self.days[commit.key] = commit

    def _mark_changed(self, key: Key, version: int, who: str) -> DayCommit:
        """Say of a day what it holds since somebody else changed it, and what it should."""
        commit = self.days[key]
        now = self._rows_now(commit, version)
        holds = "" if now is None else f"; the table holds {now} rows, the commit said "
        text = f"{who}{holds}{commit.rows if holds else ''}"
        self.days[key] = dataclasses.replace(commit, foreign=text, content_rule="", content={})
        return self.days[key]

    def _rows_now(self, commit: DayCommit, version: int) -> int | None:
        """Return a day's rows after `version`, from the commits since ours; None if one is gone."""
        files: dict[str, int] = {}
        for number in range(commit.version, version + 1):
            try:
                text = self._text(number)
            except FileNotFoundError:
                return None
            change = day_files(self.tip.file(number), text, commit.ds, commit.run_id)
            files = {p: n for p, n in files.items() if p not in change.removed} | {**change.added}
        return sum(files.values())

    def _find_id(self, versions: list[int]) -> str:
        """Return the table's id: from its first commit or, once that was cleaned up, a checkpoint.

        Raises:
            TableDamaged: neither says it.
        """
        if versions[0] == 0:
            found = self.read(0).table_id
            if found:
                return found
        newest: dict[int, list[str]] = {}
        names = self.tip.storage.names(self.tip.folder)
        for match in filter(None, map(_CHECKPOINT.match, names)):
            newest.setdefault(int(match.group(1)), []).append(match.string)
        for version in sorted(newest, reverse=True):
            for name in newest[version]:
                found = _id_in_checkpoint(self.tip.storage.read(f"{self.tip.folder}/{name}"))
                if found:
                    return found
        raise TableDamaged(
            f"{self.tip.folder}: neither the first commit nor a checkpoint says which table this "
            "is: its log is not whole. Put it back from a copy, or delete the table's folder "
            f"({self.tip.location}): its days are made again when they are asked for"
        )

    def _text(self, version: int) -> str:
        return self.tip.storage.read(self.tip.file(version)).decode("utf-8", "replace")


def _id_in_checkpoint(data: bytes) -> str:
    """Return the table's id where this file of a checkpoint holds it; else empty."""
    import pyarrow.parquet as pq

    ids = pq.ParquetFile(io.BytesIO(data)).read(columns=["metaData.id"])["metaData"].to_pylist()
    return next((str(row["id"]) for row in ids if row and row.get("id")), "")
