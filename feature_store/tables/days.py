"""What is known of every day of a pipeline's tables: from the lineage, and from the logs since."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from feature_store.schema import DS, LINEAGE
from feature_store.session import Session
from feature_store.tables import generations
from feature_store.tables.commits import DayCommit
from feature_store.tables.delta_log import guarded_read
from feature_store.tables.lineage import Lineage
from feature_store.tables.rows import fields_utc
from feature_store.tables.snapshot import read_rows
from feature_store.tables.storage import HadoopStorage, LocalStorage, Storage
from feature_store.tables.table_log import Key, LogTip, News, TableLog

if TYPE_CHECKING:
    from feature_store.home import Home


@dataclass
class Days:
    """The last commit of every day, table by table, learned as it is asked for."""

    session: Session
    home: Home
    pipeline: str
    unsaved: dict[tuple[str, int, Key | None], News] = field(default_factory=dict)
    """What the lineage table has no row of yet, by table id, version and day."""
    _logs: dict[str, dict[int, TableLog]] = field(default_factory=dict)
    """By table and generation, of tables whose days were asked for."""
    _tips: dict[str, LogTip] = field(default_factory=dict)
    """By folder, of tables whose version was asked for."""
    _days: dict[str, dict[Key, DayCommit]] = field(default_factory=dict)
    """Of every day the commit that counts: of the newest generation that has it."""
    _lineage: Lineage | None = None
    _is_held: bool = False

    def location(self, table: str) -> str:
        """Return where a table lies; the newest one where a column changed its type."""
        return self.place(table, max(self.generations(table), default=1))

    def locations(self, table: str) -> list[str]:
        """Return the folders of a table: several where a column changed its type, oldest first."""
        return [self.place(table, generation) for generation in self.generations(table)]

    def version(self, table: str) -> int | None:
        """Return the newest version of a table, or None where there is no table."""
        place = self.location(table)
        if place not in self._tips:
            self._tips[place] = LogTip(place, self.storage)
        return self._tips[place].newest()

    def commits(self, table: str) -> Mapping[Key, DayCommit]:
        """Return the last commit of every day of a table, as of now.

        Commits that have no row in the lineage table are read from the table's log.
        """
        if not self._is_held or table not in self._logs:
            self.look(table)
        return self._days.setdefault(table, {})

    def seen(self, table: str) -> Mapping[Key, DayCommit]:
        """Return the last commit of every day of a table, as of the last look."""
        return self._days.setdefault(table, {})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Look at each table at most once within the block: one moment for many questions."""
        if not self._is_held:
            for table in list(self._logs):
                self.look(table)
        outer, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = outer

    def known_versions(self, table: str) -> dict[int, int]:
        """Return the versions at which the last look found a table, by generation.

        A table that nobody looked at is found as it is now.
        """
        if table not in self._logs and len(self.generations(table)) > 1:
            self.look(table)
        if table in self._logs:
            return {generation: log.version for generation, log in self._logs[table].items()}
        now = self.version(table)
        return {} if now is None else {max(self.generations(table)): now}

    def lying(self, table: str, days: Sequence[date], newest: int) -> dict[int, list[date]]:
        """Return the generations that hold something of days, with those days."""
        found: dict[int, set[date]] = {}
        wanted = set(days)
        for commit in self._days.get(table, {}).values():
            if commit.ds in wanted:
                found.setdefault(commit.generation, set()).add(commit.ds)
        unwritten = wanted.difference(*found.values())
        if unwritten:
            found.setdefault(newest, set()).update(unwritten)
        return {generation: sorted(own) for generation, own in found.items()}

    def files(
        self, table: str, generation: int, version: int, days: Sequence[date]
    ) -> list[str] | None:
        """Return the files of days at the version of the last look; None where they are not known.

        Known are those of days that were written, and not moved since, while this process looked.
        """
        log = self._logs.get(table, {}).get(generation)
        if log is None or log.version != version:
            return None
        wanted = set(days)
        own = [commit for commit in log.days.values() if commit.ds in wanted]
        if wanted.difference(commit.ds for commit in own):
            return None
        found: list[str] = []
        for commit in own:
            if commit.files is None or commit.foreign:
                return None
            found += commit.files
        return sorted(found)

    def replaced(self, table: str, before: datetime) -> list[int]:
        """Return the older generations of which nothing counts, all replaced before an instant.

        One that has a day of which no log speaks is not among them: who wrote that is not known.
        """
        self.look(table)
        return [g for g in sorted(self._logs[table])[:-1] if self._is_replaced(table, g, before)]

    def _is_replaced(self, table: str, generation: int, before: datetime) -> bool:
        now = self._days[table]
        newer = {f"{DS}={commit.ds}" for commit in now.values() if commit.generation > generation}
        there = self.storage.names(self.place(table, generation))
        own = self._logs[table][generation].days
        return (
            bool(own)
            and all(now[key].generation > generation for key in own)
            # What replaced it is later than what it replaced.
            and all(now[key].committed_at < before for key in own)
            and newer.issuperset(name for name in there if name.startswith(f"{DS}="))
        )

    def look(self, table: str) -> None:
        """Learn of every commit of a table that is not seen yet."""
        if self._lineage is None:
            self._lineage = self._read_lineage()
        lineage, found = self._lineage, self.generations(table)
        logs = self._logs.setdefault(table, {})
        before = {g: (known.table_id, known.version) for g, known in logs.items()}
        for generation in found:
            known = logs.get(generation) or TableLog(
                LogTip(self.place(table, generation), self.storage), table, generation
            )
            for news in known.look(lambda table_id: lineage.remembered(table, table_id)):
                self._note(news)
            logs[generation] = known
        for generation in list(logs):
            if generation not in found or logs[generation].version < 0:
                del logs[generation]
        if before != {g: (known.table_id, known.version) for g, known in logs.items()}:
            self._days[table] = {}
            for generation in sorted(logs):
                self._days[table].update(logs[generation].days)

    def _note(self, news: News) -> None:
        """Remember what is to be written down."""
        key = news.key if isinstance(news, DayCommit) else None
        self.unsaved[news.table_id, news.version, key] = news

    def correct(self, commit: DayCommit) -> None:
        """Put more that is known of a commit in the place of what was."""
        self._logs[commit.table][commit.generation].days[commit.key] = commit
        self._days[commit.table][commit.key] = commit
        self._note(commit)

    def remember_cost(self, table: str, token: str, seconds: float, core_seconds: float) -> None:
        """Put what a write cost beside each of its days."""
        for commit in [c for c in self._days[table].values() if c.token == token]:
            self.correct(dataclasses.replace(commit, seconds=seconds, core_seconds=core_seconds))

    @property
    def storage(self) -> Storage:
        """Where the tables lie."""
        return LocalStorage() if self.home.is_local else HadoopStorage(self.session.start())

    def small_rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield all rows of a small table without partitions, as it is now; its times are UTC.

        Without Spark where the table lies on this machine.

        Raises:
            TableDamaged: a file of it is gone or broken.
        """
        what = f"{self.pipeline}.{table}"
        if self.home.is_local:
            yield from read_rows(self.storage, self.location(table), what)
            return
        with guarded_read(what):
            frame = self.session.start().read.format("delta").load(self.location(table))
            yield from map(fields_utc, frame.collect())

    def place(self, table: str, generation: int) -> str:
        """Return the folder of a generation of a table."""
        return generations.location(self.home, self.pipeline, table, generation)

    def generations(self, table: str) -> list[int]:
        """Return the generations of a table that have a folder, oldest first."""
        return generations.find(self.storage, self.home, self.pipeline, table)

    def _read_lineage(self) -> Lineage:
        if self.version(LINEAGE) is None:
            return Lineage()
        return Lineage.of(self.small_rows(LINEAGE))
