"""The tables of a pipeline and its streams: read at a version, days replaced atomically.

The only Delta writer.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from delta.tables import DeltaTable
from pyspark.errors import PySparkException

from feature_store.errors import DayChanged, PartitionNotReady, UsageError, WriteConflict
from feature_store.schema import DS, LINEAGE, RUN_ID, SCORES, is_of_stream
from feature_store.session import Session
from feature_store.tables import generations
from feature_store.tables.commits import DayCommit, commit_metadata
from feature_store.tables.content import ALL, WHOLE, Content, digest_of, part_sums
from feature_store.tables.days import Days
from feature_store.tables.delta_log import guarded_read, guarded_write
from feature_store.tables.inputs import Inputs, Pin, Pins
from feature_store.tables.lineage import SCHEMA, as_row
from feature_store.tables.meter import CostMeter
from feature_store.tables.snapshot import active_files
from feature_store.tables.table_log import Key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

    from feature_store.home import Home

log = logging.getLogger(__name__)

_TRIES = 6
_FEW_FILES = 32
"""Files of days above which Delta's own way of finding them is as quick."""
_GLOB = set("*?[]{}\\")
"""What Spark takes for a pattern in a path."""
_LINEAGE_FILES = 32
"""Files of lineage, one a run, above which they are made one: a cold start reads them all."""


@dataclass
class Warehouse:
    """The Delta tables of a pipeline and of its streams, and what is known of their days."""

    session: Session
    home: Home
    pipeline: str
    days: Days = field(init=False)

    def __post_init__(self) -> None:
        """Know nothing yet; the first question reads the lineage."""
        self.days = Days(self.session, self.home, self.pipeline)

    @property
    def spark(self) -> SparkSession:
        """The Spark session, started now if nobody needed it before."""
        return self.session.start()

    def location(self, table: str) -> str:
        """Return where a table lies; the newest one where a column changed its type."""
        return self.days.location(table)

    def locations(self, table: str) -> list[str]:
        """Return the folders of a table: several where a column changed its type, oldest first."""
        return self.days.locations(table)

    def version(self, table: str) -> int | None:
        """Return the newest version of a table, or None where there is no table."""
        return self.days.version(table)

    def commits(self, table: str) -> Mapping[Key, DayCommit]:
        """Return the last commit of every day of a table, as of now."""
        return self.days.commits(table)

    def held(self) -> AbstractContextManager[None]:
        """Look at each table at most once within the block: one moment for many questions."""
        return self.days.held()

    def read(
        self, table: str, days: Iterable[date] | None = None, version: int | None = None
    ) -> DataFrame:
        """Return a table, or some days of it, at `version`.

        By default that is the version at which `commits` or `pins` last looked, so that what is
        read is what was pinned; a table never looked at is read as it is now. Days that lie in a
        table from before a column changed its type are given in the types of now.

        Raises:
            PartitionNotReady: there is no such table, or a day of it is of a type that cannot be
                given so.
        """
        wanted = None if days is None else sorted(set(days))
        versions = self.days.known_versions(table)
        if not versions:
            raise PartitionNotReady(table, wanted or ["any"], self._next_step(wanted or []))
        newest = max(versions)
        if version is not None:
            versions[newest] = version
        if wanted is None:
            return self._frame(table, newest, versions[newest])
        lying = {newest: wanted}
        if len(versions) > 1:
            lying = self.days.lying(table, wanted, newest)
        frames = [
            self._some_days(table, generation, versions[generation], lying[generation])
            for generation in sorted(lying)
        ]
        if len(frames) == 1:
            return frames[0]
        older = sorted({day for g in lying if g != max(lying) for day in lying[g]})
        return generations.together(
            frames,
            self._title(table),
            older,
            as_text=table == SCORES,
            next_step=self._next_step(older),
        )

    def commit(self, table: str, day: date, run_id: str = "") -> DayCommit | None:
        """Return the commit that last replaced a day, or None."""
        return self.commits(table).get((table, day, run_id))

    def pins(
        self,
        table: str,
        days: Sequence[date],
        content: Content = WHOLE,
        *,
        until: date | None = None,
        part: str = ALL,
        of: Collection[str] | None = None,
    ) -> Pins:
        """Return what a reader of `days` pins: what they hold, and where.

        Args:
            table: a table of this pipeline.
            days: the days that are read.
            content: how the table's rows are split into parts.
            until: of a table split by day, the last day from which what is read may be usable.
            part: of any other, the part that is read.
            of: what is read of a table that is split by what its rows are of as well.

        Raises:
            PartitionNotReady: some of the days were never written.
            DayChanged: somebody else changed one of them.
            TableDamaged: a file of one of them is gone or broken.
        """
        commits = self.commits(table)
        missing = [day for day in days if (table, day, "") not in commits]
        if missing:
            raise PartitionNotReady(table, missing, self._next_step(missing))
        self.know(table, days, content, part=part)
        chosen = [self.days.seen(table)[table, day, ""] for day in days]
        for commit in chosen:
            if commit.foreign:
                raise DayChanged(self._changed_text(commit))
        return tuple(
            Pin(
                ds=commit.ds,
                digest=digest_of(commit.content, until, part, of),
                version=commit.version,
                table_id=commit.table_id,
            )
            for commit in chosen
        )

    def know(
        self, table: str, days: Iterable[date], content: Content = WHOLE, *, part: str = ALL
    ) -> None:
        """Find out what days hold, in one pass over those of which nobody has yet.

        What pins of one day after another would do in as many passes. A day that does not hold
        what its commit said is one that somebody else changed, from then on.

        Args:
            table: a table of this pipeline.
            days: the days; those that were never written, or changed by somebody else, are left.
            content: how the table's rows are split into parts.
            part: the part that is wanted.

        Raises:
            TableDamaged: a file of one of them is gone or broken.
        """
        commits = self.commits(table)
        found = (commits.get((table, day, "")) for day in set(days))
        lacking = {
            c.ds: c
            for c in found
            if c is not None and not c.foreign and c.content_rule != content.rule
            and not (part == ALL and ALL in c.content)
        }  # fmt: skip
        if not lacking:
            return
        for generation in sorted({commit.generation for commit in lacking.values()}):
            own = {day: c for day, c in lacking.items() if c.generation == generation}
            self._add_up(table, generation, own, content)

    def replace_days(
        self, table: str, frame: DataFrame, inputs: Mapping[date, Inputs]
    ) -> dict[date, DayCommit]:
        """Replace the days in `inputs` by the rows of `frame`, all in one commit or not at all.

        Where a column of `frame` has another type than the table's, a new table is started beside
        it, and the days lie there from now on.

        Args:
            table: a table of this pipeline; made if there is none.
            frame: the rows; each must belong to one of the days.
            inputs: what each day was made of; stored in the commit.

        Raises:
            WriteConflict: another driver replaced one of the days meanwhile.
            WriteFailed: anything else went wrong; the table is as it was.
        """
        keys = {(day, ""): made_of for day, made_of in inputs.items()}
        written = self._replace(table, frame, keys, days_predicate(inputs))
        return {day: commit for (day, _), commit in written.items()}

    def replace_runs(
        self,
        table: str,
        frame: DataFrame,
        inputs: Mapping[tuple[date, str], Inputs],
        run_column: str = RUN_ID,
        *,
        probabilities: Sequence[str] = (),
    ) -> dict[tuple[date, str], DayCommit]:
        """Replace the rows of runs (day and run id), where a day holds those of several.

        Args:
            table: a table of this pipeline; made if there is none.
            frame: the rows; each must belong to one of the runs.
            inputs: what each run of a day was made of; stored in the commit.
            run_column: the partition column that holds the run.
            probabilities: columns that the table holds to 0..1, as it is made; null and NaN are
                refused as well. Rows of other ones go to a table of their own.

        Raises:
            WriteConflict: another driver replaced one of the runs meanwhile.
            WriteFailed: anything else went wrong; the table is as it was.
        """
        predicate = runs_predicate(inputs, run_column)
        return self._replace(
            table, frame, inputs, predicate, run_column, probabilities=probabilities
        )

    def _replace(
        self,
        table: str,
        frame: DataFrame,
        inputs: Mapping[tuple[date, str], Inputs],
        predicate: str,
        *partition_by: str,
        probabilities: Sequence[str] = (),
    ) -> dict[tuple[date, str], DayCommit]:
        days, token = sorted({day for day, _ in inputs}), uuid.uuid4().hex
        what = f"{self._title(table)} ds={days[0]}..{days[-1]}"
        generation = self._generation_for(table, frame.schema, probabilities)
        place = self.days.place(table, generation)
        if probabilities:
            self._create_held(table, frame, place, [DS, *partition_by], probabilities)
        meter = CostMeter(self.spark)
        with guarded_write(what):
            (
                # Rebalancing gives few files for a small day and many for a large one.
                frame.hint("rebalance", DS)
                .write.format("delta")
                .mode("overwrite")
                .partitionBy(DS, *partition_by)
                .option("replaceWhere", predicate)
                # A definition gains and loses columns; days of another time have null there.
                .option("mergeSchema", "true")
                .option("userMetadata", commit_metadata(table, inputs, token))
                .save(place)
            )
        seconds, core_seconds = meter.read()
        self.days.look(table)
        self.days.remember_cost(table, token, seconds / len(days), core_seconds / len(days))
        written = {key: self.days.seen(table)[table, *key] for key in inputs}
        if any(commit.generation != generation for commit in written.values()):
            raise WriteConflict(f"{what}: another driver started a table of other types meanwhile")
        return written

    def save_lineage(self) -> None:
        """Write down what every commit seen since the last call was made of, and its cost.

        Once for many commits: it is a commit of its own. What a crash keeps from being written
        down here is in the logs of the tables, and is read there; only its cost is lost.
        """
        if self.days.unsaved:
            rows = self.spark.createDataFrame(
                [as_row(n) for n in self.days.unsaved.values()], SCHEMA
            )
            self.append(LINEAGE, rows.coalesce(1))
            self.days.unsaved.clear()
            if self.home.is_local:
                files = active_files(self.days.storage, self.location(LINEAGE))
                if len(files) > _LINEAGE_FILES:
                    self.compact(LINEAGE)

    def append(self, table: str, frame: DataFrame, partition_by: Sequence[str] = ()) -> None:
        """Append rows to a table in one commit; the table, or a column it lacks, is made."""
        with guarded_write(self._title(table)):
            writer = frame.write.format("delta").mode("append").partitionBy(*partition_by)
            writer.option("mergeSchema", "true").save(self.location(table))

    def insert_unless(
        self, table: str, frame: DataFrame, condition: str, partition_by: Sequence[str]
    ) -> None:
        """Insert the rows of `frame` (alias `s`) that match no row (alias `t`) by `condition`.

        Raises:
            WriteConflict: another driver changed what the condition read.
        """
        if self.version(table) is None:
            self._create(table, frame, partition_by)
        with guarded_write(self._title(table)):
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
        with guarded_write(self._title(table)):
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
        for place in self.locations(table):
            with guarded_write(self._title(table)):
                builder = DeltaTable.forPath(self.spark, place).optimize()
                if days is not None:
                    builder = builder.where(days_predicate(days))
                builder.executeCompaction()

    def vacuum(self, table: str, retention_hours: float, *, is_search: bool = False) -> None:
        """Delete files that no version of the last `retention_hours` needs.

        Which those are the log says, from where the last call stopped. With `is_search`, and where
        the log does not reach back so far, the whole folder is searched, which takes as long as
        there are days, and also finds what killed writes left.
        """
        hours = float(retention_hours)
        for place in self.locations(table):
            with guarded_write(self._title(table)):
                if is_search or not self._is_vacuumed_by_log(place, hours):
                    DeltaTable.forPath(self.spark, place).vacuum(hours)

    def _is_vacuumed_by_log(self, place: str, hours: float) -> bool:
        quoted = place.replace("`", "``")
        try:
            self.spark.sql(f"VACUUM delta.`{quoted}` LITE RETAIN {hours} HOURS")
        except PySparkException as error:
            if "DELTA_CANNOT_VACUUM_LITE" not in str(error):
                raise
            return False
        return True

    def write_frozen(self, table: str, frame: DataFrame, partition_by: str, metadata: str) -> None:
        """Write a table that is never changed again.

        Raises:
            WriteConflict: it exists already.
        """
        with guarded_write(self._title(table)):
            (
                frame.write.format("delta")
                .mode("errorifexists")
                .partitionBy(partition_by)
                .option("userMetadata", metadata)
                .save(self.location(table))
            )

    def _create(
        self, table: str, frame: DataFrame, partition_by: Sequence[str], place: str = ""
    ) -> None:
        """Make an empty table, or find that another driver made it."""
        folder = place or self.location(table)
        for attempt in range(_TRIES):
            with suppress(WriteConflict), guarded_write(self._title(table)):
                (
                    DeltaTable.createIfNotExists(self.spark)
                    .location(folder)
                    .addColumns(frame.schema)
                    .partitionedBy(*partition_by)
                    .execute()
                )
            if self._is_table(folder):
                return
            # Another driver is just making it: its folder is there, its first commit is not.
            time.sleep(0.1 * 2**attempt)
        raise WriteConflict(
            f"{self._title(table)}: other drivers kept making it, and it is not there. Run again"
        )

    def _create_held(
        self,
        table: str,
        frame: DataFrame,
        place: str,
        partition_by: Sequence[str],
        probabilities: Sequence[str],
    ) -> None:
        """Make a table with its constraint, which also stops NaN and null."""
        if self._is_table(place, at_least=1):
            return
        self._create(table, frame, partition_by, place)
        quoted = place.replace("`", "``")
        each = " AND ".join(f"{name} >= 0 AND {name} <= 1" for name in probabilities)
        # Only another driver that makes the same table can be in the way.
        with suppress(WriteConflict), guarded_write(self._title(table)):
            self.spark.sql(
                f"ALTER TABLE delta.`{quoted}` ADD CONSTRAINT score_range CHECK ({each})"
            )

    def _is_table(self, place: str, at_least: int = 0) -> bool:
        """Whether there is a table whose newest version is `at_least` that."""
        names = self.days.storage.names(f"{place}/_delta_log")
        versions = (int(name[:20]) for name in names if len(name) == 25 and name.endswith(".json"))
        return any(version >= at_least for version in versions)

    def _generation_for(self, table: str, schema: StructType, probabilities: Sequence[str]) -> int:
        """Return the generation that rows of a schema are written to: the newest, if they fit."""
        self.days.look(table)
        versions = self.days.known_versions(table)
        if not versions:
            return max(self.days.generations(table), default=1)
        newest = max(versions)
        place = self.days.place(table, newest)
        with guarded_read(self._title(table)):
            stored = self.spark.read.format("delta").load(place).schema
        changed = generations.retyped(stored, schema)
        if probabilities:
            changed += generations.held_otherwise(stored, probabilities)
        if changed:
            log.info(
                "pipeline=%s table=%s generation=%d changed=%s",
                self.pipeline, table, newest + 1, ", ".join(changed),
            )  # fmt: skip
        return newest + (1 if changed else 0)

    def _some_days(
        self, table: str, generation: int, version: int, days: Sequence[date]
    ) -> DataFrame:
        """Return days of one generation at a version.

        Those that this process saw written are read from their files: for Delta to find out what
        they are takes it several Spark jobs, which are most of what reading a small day costs.
        """
        frame = self._frame(table, generation, version)
        place = self.days.place(table, generation)
        files = self.days.files(table, generation, version, days)
        if files is None or len(files) > _FEW_FILES or set(place) & _GLOB:
            return frame.where(days_predicate(days))
        if not files:
            return frame.where("false")
        reader = self.spark.read.schema(frame.schema).option("basePath", place)
        with guarded_read(self._title(table)):
            rows = reader.parquet(*(f"{place}/{file}" for file in files))
        return rows.select(*(f"`{name}`" for name in frame.columns))

    def _frame(self, table: str, generation: int, version: int) -> DataFrame:
        reader = self.spark.read.format("delta").option("versionAsOf", version)
        with guarded_read(self._title(table)):
            return reader.load(self.days.place(table, generation))

    def _add_up(
        self, table: str, generation: int, commits: Mapping[date, DayCommit], content: Content
    ) -> None:
        """Read days of one generation and remember what they hold."""
        version = self.days.known_versions(table)[generation]
        rows = self._some_days(table, generation, version, list(commits))
        with guarded_read(f"{self._title(table)} ds={min(commits)}..{max(commits)}"):
            sums = part_sums(rows, content)
        for day, commit in commits.items():
            parts = sums.get(day, {})
            now = parts[ALL][2] if ALL in parts else sum(n for _, _, n in parts.values())
            if now == commit.rows:
                known = dataclasses.replace(commit, content_rule=content.rule, content=parts)
            else:
                text = f"the table holds {now} rows, the commit said {commit.rows}"
                known = dataclasses.replace(commit, foreign=text)
            self.days.correct(known)

    def _changed_text(self, commit: DayCommit) -> str:
        return (
            f"{self._title(commit.table)} ds={commit.ds}: somebody else changed it: "
            f"{commit.foreign}. What was made of it can be made anew. "
            f"{self._next_step([commit.ds])}"
        )

    def _title(self, table: str) -> str:
        """Return what a table is called where something is said of it."""
        return table if is_of_stream(table) else f"{self.pipeline}.{table}"

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


def runs_predicate(runs: Iterable[tuple[date, str]], run_column: str) -> str:
    """Return the SQL condition that selects exactly these runs of days."""
    ordered = sorted(set(runs))
    if len({run for _, run in ordered}) == 1:
        own = days_predicate(day for day, _ in ordered)
        return f"{own} AND {run_column} = '{_word(ordered[0][1])}'"
    listed = (f"({DS} = DATE'{d}' AND {run_column} = '{_word(run)}')" for d, run in ordered)
    return " OR ".join(listed)


def _word(value: str) -> str:
    """Return a partition value that needs no quoting.

    Raises:
        UsageError: it is more than letters, digits, - and _.
    """
    if not value.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"partition value {value!r}: must be letters, digits, - and _ only")
    return value
