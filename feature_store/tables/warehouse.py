"""The tables of one pipeline: read at a version, replace days atomically. The only Delta writer."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from delta.tables import DeltaTable

from feature_store.errors import PartitionNotReady, UsageError, WriteConflict
from feature_store.schema import DS, LINEAGE, RUN_ID, SCORE, SCORES
from feature_store.tables.delta_log import guarded_write, log_versions, read_commits
from feature_store.tables.inputs import Inputs, Runs, compress
from feature_store.tables.lineage import SCHEMA, DayCommit, commit_metadata
from feature_store.tables.meter import CostMeter
from feature_store.tables.rows import fields_utc

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.home import Home

_TRIES = 6

Key = tuple[str, date, str]
"""Table, day, run id (empty where a day has one content only)."""


@dataclass
class Warehouse:
    """The Delta tables of one pipeline under one home, and what is known of every day of them."""

    spark: SparkSession
    home: Home
    pipeline: str
    _days: dict[str, dict[Key, DayCommit]] = field(default_factory=dict)
    _seen: dict[str, set[int]] = field(default_factory=dict)
    """Versions whose commits are known, from lineage or from the log itself."""
    _looked: dict[str, int] = field(default_factory=dict)
    """The newest version when this process last looked at the log."""
    _unsaved: list[DayCommit] = field(default_factory=list)
    """Commits that the lineage table has no row of yet."""
    _is_loaded: bool = False
    _is_held: bool = False

    def location(self, table: str) -> str:
        """Return where a table lies."""
        return self.home.table(self.pipeline, table)

    def version(self, table: str) -> int | None:
        """Return the newest version of a table, or None where there is no table."""
        return max(log_versions(self.spark, self.location(table)), default=None)

    def read(
        self, table: str, days: Iterable[date] | None = None, version: int | None = None
    ) -> DataFrame:
        """Return a table, or some days of it, at `version`.

        By default that is the version at which `commits` or `pins` last looked, so that what is
        read is what was pinned; a table never looked at is read as it is now.

        Raises:
            PartitionNotReady: there is no such table.
        """
        wanted = None if days is None else sorted(days)
        at = version if version is not None else self._looked.get(table)
        if at is None:
            at = self.version(table)
        if at is None:
            raise PartitionNotReady(table, wanted or ["any"], self._next_step(wanted or []))
        reader = self.spark.read.format("delta").option("versionAsOf", at)
        frame = reader.load(self.location(table))
        return frame if wanted is None else frame.where(days_predicate(wanted))

    def commits(self, table: str) -> dict[Key, DayCommit]:
        """Return the last commit of every day of a table, as of now.

        Commits that have no row in the lineage table are read from the table's log.
        """
        if not self._is_held or table not in self._looked:
            self._catch_up(table)
        return self._days.setdefault(table, {})

    @contextmanager
    def held(self) -> Iterator[None]:
        """Look at each table at most once within the block: one moment for many questions."""
        outer, self._is_held = self._is_held, True
        for table in list(self._looked):
            self._catch_up(table)
        try:
            yield
        finally:
            self._is_held = outer

    def commit(self, table: str, day: date, run_id: str = "") -> DayCommit | None:
        """Return the commit that last replaced a day, or None."""
        return self.commits(table).get((table, day, run_id))

    def pins(self, table: str, days: Sequence[date]) -> Runs:
        """Return the versions of `days`, as pins.

        Raises:
            PartitionNotReady: some of the days were never written.
        """
        commits = self.commits(table)
        missing = [day for day in days if (table, day, "") not in commits]
        if missing:
            raise PartitionNotReady(table, missing, self._next_step(missing))
        return compress({day: commits[table, day, ""].version for day in days})

    def replace_days(
        self,
        table: str,
        frame: DataFrame,
        inputs: Mapping[date, Inputs],
        *,
        runs: Mapping[date, str] | None = None,
        run_column: str = RUN_ID,
    ) -> dict[date, DayCommit]:
        """Replace the days in `inputs` by the rows of `frame`, all in one commit or not at all.

        Args:
            table: a table of this pipeline; made if there is none.
            frame: the rows; each must belong to one of the days (and to that day's run).
            inputs: what each day was made of; stored in the commit.
            runs: the run whose rows are replaced, per day, where a day holds those of several.
            run_column: the partition column that holds the run.

        Raises:
            WriteConflict: another driver replaced one of the days meanwhile.
            WriteFailed: anything else went wrong; the table is as it was.
        """
        days, token = sorted(inputs), uuid.uuid4().hex
        keys = {day: (runs or {}).get(day, "") for day in days}
        predicate = runs_predicate(runs, run_column) if runs else days_predicate(days)
        if table == SCORES:
            self._create_scores(frame)
        meter = CostMeter(self.spark)
        with guarded_write(f"{self.pipeline}.{table} ds={days[0]}..{days[-1]}"):
            (
                # Rebalancing gives few files for a small day and many for a large one.
                frame.hint("rebalance", DS)
                .write.format("delta")
                .mode("overwrite")
                .partitionBy(DS, *([run_column] if runs else []))
                .option("replaceWhere", predicate)
                # A definition gains and loses columns; days of another time have null there.
                .option("mergeSchema", "true")
                .option("userMetadata", commit_metadata(table, keys, inputs, token))
                .save(self.location(table))
            )
        seconds, core_seconds = meter.read()
        self._catch_up(table, token, seconds / len(days), core_seconds / len(days))
        return {day: self._days[table][table, day, keys[day]] for day in days}

    def save_lineage(self) -> None:
        """Write down what every commit seen since the last call was made of, and its cost.

        Once for many commits: it is a commit of its own. What a crash keeps from being written
        down here is in the logs of the tables, and is read there; only its cost is lost.
        """
        if self._unsaved:
            rows = self.spark.createDataFrame([c.as_row() for c in self._unsaved], SCHEMA)
            self.append(LINEAGE, rows.coalesce(1))
            self._unsaved.clear()

    def append(self, table: str, frame: DataFrame, partition_by: Sequence[str] = ()) -> None:
        """Append rows to a table in one commit; the table is made if there is none."""
        with guarded_write(f"{self.pipeline}.{table}"):
            writer = frame.write.format("delta").mode("append").partitionBy(*partition_by)
            writer.save(self.location(table))

    def insert_unless(
        self, table: str, frame: DataFrame, condition: str, partition_by: Sequence[str]
    ) -> None:
        """Insert the rows of `frame` (alias `s`) that match no row (alias `t`) by `condition`.

        Raises:
            WriteConflict: another driver changed what the condition read.
        """
        if self.version(table) is None:
            self._create(table, frame, partition_by)
        with guarded_write(f"{self.pipeline}.{table}"):
            target = DeltaTable.forPath(self.spark, self.location(table)).alias("t")
            target.merge(frame.alias("s"), condition).whenNotMatchedInsertAll().execute()

    def upsert(
        self, table: str, frame: DataFrame, on: str, update_if: str, partition_by: Sequence[str]
    ) -> None:
        """Insert the rows of `frame` (alias `s`) or update those (alias `t`) they match.

        A matched row is left as it is unless `update_if` holds for it.

        Raises:
            WriteConflict: another driver changed what the conditions read.
        """
        if self.version(table) is None:
            self._create(table, frame, partition_by)
        with guarded_write(f"{self.pipeline}.{table}"):
            (
                DeltaTable.forPath(self.spark, self.location(table))
                .alias("t")
                .merge(frame.alias("s"), on)
                .whenMatchedUpdateAll(update_if)
                .whenNotMatchedInsertAll()
                .execute()
            )

    def compact(self, table: str, days: Iterable[date] | None = None) -> None:
        """Rewrite small files into large ones; no row and no pin changes."""
        with guarded_write(f"{self.pipeline}.{table}"):
            builder = DeltaTable.forPath(self.spark, self.location(table)).optimize()
            if days is not None:
                builder = builder.where(days_predicate(days))
            builder.executeCompaction()

    def vacuum(self, table: str, retention_hours: float) -> None:
        """Delete files that no version of the last `retention_hours` needs."""
        with guarded_write(f"{self.pipeline}.{table}"):
            DeltaTable.forPath(self.spark, self.location(table)).vacuum(retention_hours)

    def write_frozen(self, table: str, frame: DataFrame, partition_by: str, metadata: str) -> None:
        """Write a table that is never changed again.

        Raises:
            WriteConflict: it exists already.
        """
        with guarded_write(f"{self.pipeline}.{table}"):
            (
                frame.write.format("delta")
                .mode("errorifexists")
                .partitionBy(partition_by)
                .option("userMetadata", metadata)
                .save(self.location(table))
            )

    def _create(self, table: str, frame: DataFrame, partition_by: Sequence[str]) -> None:
        """Make an empty table, or find that another driver made it."""
        for attempt in range(_TRIES):
            with suppress(WriteConflict), guarded_write(f"{self.pipeline}.{table}"):
                (
                    DeltaTable.createIfNotExists(self.spark)
                    .location(self.location(table))
                    .addColumns(frame.schema)
                    .partitionedBy(*partition_by)
                    .execute()
                )
            if self.version(table) is not None:
                return
            # Another driver is just making it: its folder is there, its first commit is not.
            time.sleep(0.1 * 2**attempt)
        raise WriteConflict(
            f"{self.pipeline}.{table}: other drivers kept making it, and it is not there. Run again"
        )

    def _create_scores(self, frame: DataFrame) -> None:
        """Make the scores table with its constraint, which also stops NaN and null."""
        if self.version(SCORES) not in (None, 0):
            return
        self._create(SCORES, frame, [DS, RUN_ID])
        place = self.location(SCORES).replace("`", "``")
        # Only another driver that makes the same table can be in the way.
        with suppress(WriteConflict), guarded_write(f"{self.pipeline}.{SCORES}"):
            self.spark.sql(
                f"ALTER TABLE delta.`{place}` ADD CONSTRAINT score_range "
                f"CHECK ({SCORE} >= 0 AND {SCORE} <= 1)"
            )

    def _catch_up(
        self, table: str, token: str = "", seconds: float = 0.0, core_seconds: float = 0.0
    ) -> None:
        """Learn of every commit not seen yet; the one with `token` cost what is given."""
        if not self._is_loaded:
            self._load_lineage()
        seen = self._seen.setdefault(table, set())
        versions = log_versions(self.spark, self.location(table))
        new = versions - seen
        commits = [
            dataclasses.replace(c, seconds=seconds, core_seconds=core_seconds)
            if token and c.token == token
            else c
            for c in read_commits(self.spark, self.location(table), new)
        ]
        seen |= new
        if versions:
            self._looked[table] = max(versions)
        self._remember(commits)
        self._unsaved += commits

    def _load_lineage(self) -> None:
        self._is_loaded = True
        if self.version(LINEAGE) is not None:
            rows = [fields_utc(row) for row in self.read(LINEAGE).collect()]
            self._remember(
                DayCommit(**{**row, "inputs": Inputs.from_json(row["inputs"])}) for row in rows
            )

    def _remember(self, commits: Iterable[DayCommit]) -> None:
        for commit in commits:
            key = (commit.table, commit.ds, commit.run_id)
            days = self._days.setdefault(commit.table, {})
            known = days.get(key)
            # Two processes may both have written a commit down; only its own knew the cost.
            newer = (commit.version, commit.seconds)
            if known is None or newer >= (known.version, known.seconds):
                days[key] = commit
            self._seen.setdefault(commit.table, set()).add(commit.version)

    def _next_step(self, days: Sequence[date]) -> str:
        first, last = (days[0], days[-1]) if days else ("YYYY-MM-DD", "YYYY-MM-DD")
        return f"Run: nightscore prepare --pipeline {self.pipeline} --from {first} --to {last}"


def days_predicate(days: Iterable[date]) -> str:
    """Return the SQL condition that selects exactly these days."""
    ordered = sorted(set(days))
    if not ordered:
        raise UsageError("days: at least one day is needed")
    if ordered[-1] - ordered[0] == timedelta(days=len(ordered) - 1):
        return f"{DS} >= DATE'{ordered[0]}' AND {DS} <= DATE'{ordered[-1]}'"
    listed = ", ".join(f"DATE'{day}'" for day in ordered)
    return f"{DS} IN ({listed})"


def runs_predicate(runs: Mapping[date, str], run_column: str) -> str:
    """Return the SQL condition that selects exactly these days' runs."""
    if len(set(runs.values())) == 1:
        return f"{days_predicate(runs)} AND {run_column} = '{_word(next(iter(runs.values())))}'"
    listed = (f"({DS} = DATE'{d}' AND {run_column} = '{_word(run)}')" for d, run in runs.items())
    return " OR ".join(listed)


def _word(value: str) -> str:
    """Return a partition value that needs no quoting.

    Raises:
        UsageError: it is more than letters, digits, - and _.
    """
    if not value.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"partition value {value!r}: must be letters, digits, - and _ only")
    return value
