"""Promises of the one writer: atomic days, pins per day, nothing lost by a crash."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.errors import DayChanged, PartitionNotReady, TableDamaged, WriteFailed
from feature_store.home import Home
from feature_store.schema import LINEAGE, SCORES
from feature_store.session import Session
from feature_store.tables.inputs import Inputs
from feature_store.tables.snapshot import active_files
from feature_store.tables.storage import LocalStorage
from feature_store.tables.warehouse import Warehouse
from jobs.machine.tables_check import findings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

D1, D2, D3 = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
INPUTS = Inputs(definition="d", code="1")


def frame(spark: SparkSession, *rows: tuple[date, int]) -> DataFrame:
    return spark.createDataFrame(list(rows), "ds date, x int")


def opened(spark: SparkSession, home: Home) -> Warehouse:
    return Warehouse(Session(lambda: spark), home, "toy")


@pytest.fixture
def warehouse(spark: SparkSession, home: Home) -> Warehouse:
    return opened(spark, home)


def test_replacing_one_day_leaves_the_pins_of_the_others(warehouse: Warehouse) -> None:
    spark = warehouse.spark
    both = frame(spark, (D1, 1), (D2, 2), (D2, 3))
    warehouse.replace_days("events", both, {D1: INPUTS, D2: INPUTS})
    before = warehouse.pins("events", [D1, D2])
    warehouse.replace_days("events", frame(spark, (D2, 9)), {D2: INPUTS})

    after = warehouse.pins("events", [D1, D2])
    assert [pin.version for pin in (*before, *after)] == [0, 0, 0, 1]
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    assert sorted(r.x for r in warehouse.read("events").collect()) == [1, 9]
    assert [c.rows for c in warehouse.commits("events").values()] == [1, 1]


def test_rows_of_another_day_are_refused_and_nothing_is_written(warehouse: Warehouse) -> None:
    warehouse.replace_days("events", frame(warehouse.spark, (D1, 1)), {D1: INPUTS})
    with pytest.raises(WriteFailed, match=r"toy.events ds=2026-01-02"):
        warehouse.replace_days("events", frame(warehouse.spark, (D3, 1)), {D2: INPUTS})
    assert warehouse.version("events") == 0


def test_a_day_without_rows_is_a_commit_too(warehouse: Warehouse) -> None:
    warehouse.replace_days("tiles", frame(warehouse.spark), {D1: INPUTS})
    warehouse.replace_days("tiles", frame(warehouse.spark), {D2: INPUTS})
    assert [pin.version for pin in warehouse.pins("tiles", [D1, D2])] == [0, 1]


def test_missing_days_are_named_with_the_next_step(warehouse: Warehouse) -> None:
    warehouse.replace_days("events", frame(warehouse.spark, (D1, 1)), {D1: INPUTS})
    with pytest.raises(PartitionNotReady, match=r"events: missing ds=2026-01-03 .* prepare"):
        warehouse.pins("events", [D1, D3])


def test_a_commit_that_a_crash_kept_out_of_the_lineage_is_read_from_the_log(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    warehouse.replace_days("events", frame(spark, (D1, 1), (D1, 2)), {D1: INPUTS})

    other = opened(spark, home)
    commit = other.commit("events", D1)
    assert commit is not None
    assert (commit.version, commit.rows, commit.inputs) == (0, 2, INPUTS)
    other.save_lineage()
    assert opened(spark, home).read(LINEAGE).count() == 1


def test_lineage_is_one_commit_for_many_writes_and_keeps_what_they_cost(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    for table in ("events", "tiles"):
        warehouse.replace_days(table, frame(spark, (D1, 1)), {D1: INPUTS})
    bystander = opened(spark, home)
    assert bystander.commit("tiles", D1) is not None
    warehouse.save_lineage()
    # Who only saw the commit writes it down too, and does not know what it cost.
    bystander.save_lineage()
    bystander.save_lineage()
    assert warehouse.version(LINEAGE) == 1
    fresh = opened(spark, home).commit("tiles", D1)
    assert fresh is not None
    assert fresh.seconds > 0


@pytest.mark.slow
def test_what_is_not_in_the_lineage_is_found_by_one_look_at_many_tables_too(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    for table in ("events", "tiles"):
        warehouse.replace_days(table, frame(spark, (D1, 1)), {D1: INPUTS})
    warehouse.save_lineage()
    warehouse.replace_days("tiles", frame(spark, (D1, 2)), {D1: INPUTS})
    fresh = opened(spark, home)
    with fresh.held():
        assert [pin.version for pin in fresh.pins("events", [D1])] == [0]
        assert [pin.version for pin in fresh.pins("tiles", [D1])] == [1]


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        -0.1,
        *(pytest.param(bad, marks=pytest.mark.slow) for bad in (None, 1.1, float("inf"))),
    ],
)
def test_a_score_that_is_no_probability_is_refused_by_the_table(
    warehouse: Warehouse, bad: float | None
) -> None:
    schema = "ds date, run_id string, k string, score float"
    scores = warehouse.spark.createDataFrame([(D1, "r1", "a", bad)], schema)
    with pytest.raises(WriteFailed, match="score_range"):
        warehouse.replace_runs(SCORES, scores, {(D1, "r1"): INPUTS}, probabilities=("score",))


def test_two_runs_of_a_day_stand_side_by_side(warehouse: Warehouse) -> None:
    schema = "ds date, run_id string, k string, score float"
    for run, score in [("r1", 0.25), ("r2", 0.5), ("r2", 0.75)]:
        scores = warehouse.spark.createDataFrame([(D1, run, "a", score)], schema)
        warehouse.replace_runs(SCORES, scores, {(D1, run): INPUTS}, probabilities=("score",))
    rows = {(r.run_id, r.score) for r in warehouse.read(SCORES).collect()}
    assert rows == {("r1", 0.25), ("r2", 0.75)}
    assert {key[2] for key in warehouse.commits(SCORES)} == {"r1", "r2"}


def test_the_same_rows_written_again_are_the_same_day(warehouse: Warehouse) -> None:
    rows = [(D1, i, f"n{i}" if i % 3 else None) for i in range(20)]
    pins = []
    for listed, files in ((rows, 1), (rows[::-1], 3), ([*rows[1:], (D1, 0, "other")], 1)):
        written = warehouse.spark.createDataFrame(listed, "ds date, x int, y string")
        warehouse.replace_days("events", written.repartition(files), {D1: INPUTS})
        pins.append(warehouse.pins("events", [D1]))
    assert pins[0] == pins[1] != pins[2]
    assert [pin.version for (pin,) in pins] == [0, 1, 2]


def test_values_that_change_places_between_rows_or_columns_are_another_day(
    warehouse: Warehouse,
) -> None:
    seen = set()
    for listed in ([(D1, 1, 2), (D1, 3, 4)], [(D1, 1, 4), (D1, 3, 2)], [(D1, 2, 1), (D1, 4, 3)],
                   [(D1, 1, None), (D1, 3, 4)], [(D1, None, 1), (D1, 3, 4)]):  # fmt: skip
        written = warehouse.spark.createDataFrame(listed, "ds date, x int, y int")
        warehouse.replace_days("events", written, {D1: INPUTS})
        seen.add(warehouse.pins("events", [D1])[0].digest)
    assert len(seen) == 5


def test_a_column_that_a_table_gains_later_changes_no_earlier_day(
    warehouse: Warehouse, home: Home
) -> None:
    warehouse.replace_days("events", frame(warehouse.spark, (D1, 1)), {D1: INPUTS})
    before = warehouse.pins("events", [D1])
    more = warehouse.spark.createDataFrame([(D2, 1, "a")], "ds date, x int, y string")
    warehouse.replace_days("events", more, {D2: INPUTS})
    # Nothing is written down: this one reads the rows again.
    assert opened(warehouse.spark, home).pins("events", [D1]) == before


def test_a_retyped_column_starts_a_table_of_its_own_and_the_old_days_stay_readable(
    warehouse: Warehouse, home: Home
) -> None:
    spark = warehouse.spark
    warehouse.replace_days("events", frame(spark, (D1, 1), (D2, 2)), {D1: INPUTS, D2: INPUTS})
    old = warehouse.pins("events", [D1])[0]
    wide = spark.createDataFrame([(D2, 2**40)], "ds date, x bigint")
    warehouse.replace_days("events", wide, {D2: INPUTS})

    assert [Path(place).name for place in warehouse.locations("events")] == ["events", "events.g2"]
    for seen in (warehouse, opened(spark, home)):
        both = seen.read("events", [D1, D2])
        assert sorted(map(tuple, both.collect())) == [(D1, 1), (D2, 2**40)]
        assert {c.generation for c in seen.commits("events").values()} == {1, 2}
        assert seen.pins("events", [D1, D2])[1].table_id != old.table_id
        warehouse.save_lineage()
    pinned = spark.read.format("delta").option("versionAsOf", old.version)
    assert pinned.load(warehouse.locations("events")[0]).where("ds = '2026-01-02'").count() == 1

    text = spark.createDataFrame([(D3, "many")], "ds date, x string")
    warehouse.replace_days("events", text, {D3: INPUTS})
    assert [r.x for r in warehouse.read("events", [D3]).collect()] == ["many"]
    with pytest.raises(PartitionNotReady, match=r"x is int in them and string now.*2026-01-01"):
        warehouse.read("events", [D1, D3])
    assert warehouse.read("events", [D1]).dtypes[1] == ("x", "int")


def test_a_table_whose_folder_was_deleted_is_not_there_for_anybody(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    warehouse.replace_days("events", frame(spark, (D1, 1), (D2, 2)), {D1: INPUTS, D2: INPUTS})
    first = warehouse.pins("events", [D1, D2])
    warehouse.save_lineage()
    shutil.rmtree(warehouse.location("events"))
    for seen in (warehouse, opened(spark, home)):
        assert seen.commit("events", D1) is None
        with pytest.raises(PartitionNotReady, match="events: missing ds=2026-01-01"):
            seen.pins("events", [D1])
    warehouse.replace_days("events", frame(spark, (D2, 2)), {D2: INPUTS})
    for seen in (warehouse, opened(spark, home)):
        assert seen.commit("events", D1) is None, "the lineage speaks of another table"
        again = seen.pins("events", [D2])
        assert again == first[1:]
        assert again[0].table_id != first[1].table_id


def test_what_somebody_else_changed_is_seen_by_whoever_reads_it_next(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    rows = [(D1, i) for i in range(6)] + [(D2, 1)]
    warehouse.replace_days("events", frame(spark, *rows), {D1: INPUTS, D2: INPUTS})
    warehouse.save_lineage()
    place = warehouse.location("events")
    spark.sql(f"OPTIMIZE delta.`{place}`")
    assert not list(findings(home))
    spark.sql(f"DELETE FROM delta.`{place}` WHERE x > 3 AND ds = '2026-01-01'")

    (found,) = findings(home)
    assert "toy.events: somebody else changed ds=2026-01-01: DELETE at version" in found.what
    assert "--from 2026-01-01 --to 2026-01-01" in found.remedy
    for seen in (warehouse, opened(spark, home)):
        with pytest.raises(DayChanged, match="the table holds 4 rows, the commit said 6"):
            seen.pins("events", [D1])
        assert seen.pins("events", [D2])
    warehouse.save_lineage()
    assert list(findings(home)) == [found], "now from the lineage"
    warehouse.replace_days("events", frame(spark, *rows[:6]), {D1: INPUTS})
    assert warehouse.pins("events", [D1])
    assert not list(findings(home))


def test_rows_that_are_not_what_the_commit_said_are_seen_without_a_commit(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    warehouse.replace_days("events", frame(spark, (D1, 1), (D1, 2)), {D1: INPUTS})
    (file,) = Path(warehouse.location("events"), "ds=2026-01-01").glob("*.parquet")
    single = str(Path(home.root) / "single")
    frame(spark, (D1, 1)).drop("ds").coalesce(1).write.parquet(single)
    (other,) = Path(single).glob("*.parquet")
    shutil.copy(other, file)
    for crc in file.parent.glob(".*.crc"):
        crc.unlink()
    with pytest.raises(DayChanged, match="holds 1 rows, the commit said 2"):
        warehouse.pins("events", [D1])
    assert warehouse.commits("events")["events", D1, ""].foreign


@pytest.mark.parametrize("name", [pytest.param("home", marks=pytest.mark.slow), "a [b]* {c}"])
def test_days_just_written_are_read_as_delta_reads_them(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    home = Home.of(tmp_path / name)
    writer = opened(spark, home)
    schema = "ds date, x int, run_id string, y string"
    writer.replace_days("events", frame(spark, (D1, 1)), {D1: INPUTS})
    for run, days in (("r1", [D1, D2]), ("r2", [D2])):
        rows = [(day, i, run, None if i % 2 else "é") for day in days for i in range(3)]
        inputs = {(day, run): INPUTS for day in days}
        writer.replace_runs("mixed", spark.createDataFrame(rows, schema), inputs)
    writer.replace_days("events", spark.createDataFrame([(D2, 2, "y")], "ds date, x int, y string"),
                        {D2: INPUTS})  # fmt: skip
    writer.replace_days("events", frame(spark), {D3: INPUTS})
    for table in ("events", "mixed"):
        for days in ([D1], [D2], [D1, D2], [D3]):
            if table == "mixed" and D3 in days:
                continue
            direct = writer.read(table, days)
            delta = opened(spark, home).read(table, days)
            assert direct.schema == delta.schema
            assert sorted(map(str, direct.collect())) == sorted(map(str, delta.collect()))


def test_days_whose_files_were_moved_since_they_were_written_are_read_where_they_are(
    warehouse: Warehouse, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = frame(spark, *((D1, x) for x in range(6))).repartition(3)
    # One writer keeps a small day in one file; without its hint the parts are kept.
    monkeypatch.setattr(type(written), "hint", lambda self, *_: self)
    warehouse.replace_days("events", written, {D1: INPUTS})
    files = warehouse.days.files("events", 1, 0, [D1])
    assert files is not None
    assert len(files) == 3
    place = Path(warehouse.location("events"))
    spark.sql(f"OPTIMIZE delta.`{place}`")
    for file in files:
        (place / file).unlink()
    pins = warehouse.pins("events", [D1])
    assert pins[0].version == 0, "nobody changed the day"
    assert sorted(row.x for row in warehouse.read("events", [D1]).collect()) == list(range(6))


def _vacuumed(place: Path) -> Path:
    (file,) = place.glob("ds=2026-01-01/*.parquet")
    file.unlink()
    return file


def _emptied(place: Path) -> Path:
    file = place / "_delta_log" / f"{0:020d}.json"
    file.write_text("")
    return file


def _broken(place: Path) -> Path:
    file = place / "_delta_log" / f"{0:020d}.json"
    file.write_text("{ no json")
    return file


@pytest.mark.parametrize("damage", [_vacuumed, _emptied, _broken])
def test_a_damaged_file_is_named_with_its_table(
    warehouse: Warehouse, spark: SparkSession, home: Home, damage: Callable[[Path], Path]
) -> None:
    warehouse.replace_days("events", frame(spark, (D1, 1)), {D1: INPUTS})
    file = damage(Path(warehouse.location("events")))
    with pytest.raises(TableDamaged, match=file.name) as raised:
        opened(spark, home).pins("events", [D1])
    assert "/toy/events/" in str(raised.value)


def test_a_look_reads_what_is_new_and_a_new_process_what_the_lineage_does_not_say(
    warehouse: Warehouse, spark: SparkSession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for x in range(4):
        warehouse.replace_days("events", frame(spark, (D1, x)), {D1: INPUTS})
    spark.sql(f"OPTIMIZE delta.`{warehouse.location('events')}`")
    warehouse.pins("events", [D1])
    warehouse.save_lineage()
    counted: list[str] = []
    listed: list[str] = []
    read, names = LocalStorage.read, LocalStorage.names

    def count(storage: LocalStorage, file: str) -> bytes:
        counted.append(file)
        return read(storage, file)

    def count_names(storage: LocalStorage, folder: str) -> list[str]:
        listed.append(folder)
        return names(storage, folder)

    monkeypatch.setattr(LocalStorage, "read", count)
    monkeypatch.setattr(LocalStorage, "names", count_names)
    warehouse.pins("events", [D1])
    assert counted == []
    assert not [folder for folder in listed if folder.endswith("_delta_log")]

    fresh = opened(spark, home)
    assert fresh.pins("events", [D1]) == warehouse.pins("events", [D1])
    own = [Path(file).name for file in counted if "/events/_delta_log/" in file]
    # The first says which table it is, the newest that it is whole.
    assert own == [f"{0:020d}.json", f"{warehouse.version('events'):020d}.json"]
    assert sum("/lineage/" in folder for folder in listed) == 2


@pytest.mark.slow
def test_a_log_that_was_cleaned_up_is_read_from_its_checkpoint_and_the_lineage(
    warehouse: Warehouse, spark: SparkSession, home: Home
) -> None:
    for x in range(2):
        warehouse.replace_days("events", frame(spark, (D1, x)), {D1: INPUTS})
    warehouse.replace_days("events", frame(spark, (D2, 2)), {D2: INPUTS})
    before = warehouse.pins("events", [D1, D2])
    warehouse.save_lineage()
    for table in ("events", LINEAGE):
        jvm: Any = spark._jvm
        place = jvm.org.apache.hadoop.fs.Path(warehouse.location(table))
        session: Any = spark._jsparkSession
        jvm.org.apache.spark.sql.delta.DeltaLog.forTable(session, place).checkpoint()
    for version in (0, 1):
        Path(warehouse.location("events"), "_delta_log", f"{version:020d}.json").unlink()
    fresh = opened(spark, home)
    fresh.replace_days("events", frame(spark, (D3, 3)), {D3: INPUTS})
    found = fresh.pins("events", [D1, D2, D3])
    assert found[:2] == before
    assert {pin.table_id for pin in found} == {before[0].table_id}


def test_the_lineage_becomes_one_file_again_when_there_are_many(
    warehouse: Warehouse, spark: SparkSession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feature_store.tables.warehouse._LINEAGE_FILES", 2)
    for x in range(3):
        warehouse.replace_days("events", frame(spark, (D1, x)), {D1: INPUTS})
        warehouse.save_lineage()
    assert len(active_files(LocalStorage(), warehouse.location(LINEAGE))) == 1
    assert warehouse.read(LINEAGE).count() == 3
    last = opened(spark, home).commit("events", D1)
    assert last == warehouse.commit("events", D1)
