"""What Spark and Delta really raise is told as one message; provoked here, not made up."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql.functions import udf

from jobs.cli.explain import explain
from jobs.cli.pulse import Work, work_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two commits."""
    place = tmp_path_factory.mktemp("explained") / "t"
    frame = spark.createDataFrame([(1, "a"), (2, "b")], "x int, ds string")
    for _ in range(2):
        frame.write.format("delta").mode("append").partitionBy("ds").save(str(place))
    return place


@pytest.fixture
def table(written: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged; without sums, which would tell of the damage first."""
    shutil.copytree(written, tmp_path / "t")
    for file in tmp_path.rglob("*.crc"):
        file.unlink()
    return tmp_path / "t"


def told(work: Callable[[], object]) -> str:
    with pytest.raises(Exception, match=r".") as raised:
        work()
    message = explain(raised.value)
    assert "\n" not in message
    assert "\tat " not in message
    assert len(message) < 800
    return message


def no_parquet(table: Path) -> None:
    for file in table.rglob("*.parquet"):
        file.write_bytes(b"nonsense" * 20)


def no_file(table: Path) -> None:
    for file in table.rglob("*.parquet"):
        file.unlink()


def no_json(table: Path) -> None:
    (table / "_delta_log" / f"{1:020d}.json").write_text("{nonsense")


@pytest.mark.parametrize(
    ("damage", "part"),
    [(no_parquet, ".parquet"), (no_file, ".parquet"), (no_json, "log is damaged")],
)
def test_a_damaged_table_is_named_with_what_to_restore(
    spark: SparkSession, table: Path, damage: Callable[[Path], None], part: str
) -> None:
    damage(table)
    message = told(lambda: spark.read.format("delta").load(str(table)).collect())
    assert part in message
    assert "Restore it from a copy" in message


def test_a_column_that_is_not_there_is_named(spark: SparkSession, table: Path) -> None:
    frame = spark.read.format("delta").load(str(table))
    assert "there is no column 'price'" in told(lambda: frame.select("price").collect())


def test_a_value_of_another_type_is_told_in_sparks_own_first_line(spark: SparkSession) -> None:
    message = told(lambda: spark.sql("SELECT CAST('soon' AS INT)").collect())
    assert message.startswith("[CAST_INVALID_INPUT] The value 'soon'")


def test_an_error_in_a_worker_is_its_own_last_line(spark: SparkSession) -> None:
    @udf("int")
    def off(_: int) -> int:
        raise ValueError("price is off")

    message = told(lambda: spark.range(1).select(off("id")).collect())
    assert message == "in a Python worker of Spark: ValueError: price is off"


def test_a_killed_worker_points_at_memory(spark: SparkSession) -> None:
    @udf("int")
    def die(_: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    message = told(lambda: spark.range(1).coalesce(1).select(die("id")).collect())
    assert message.startswith("a Python worker of Spark died")
    assert "NIGHTSCORE_CORES" in message


def test_a_place_that_cannot_be_written_names_the_home(spark: SparkSession) -> None:
    message = told(lambda: spark.range(1).write.format("delta").save("/proc/nightscore"))
    assert "NIGHTSCORE_HOME" in message


def test_what_spark_does_is_seen_while_it_does_it(spark: SparkSession, tmp_path: Path) -> None:
    assert work_of(spark) is None
    seen = tmp_path / "seen"

    @udf("int")
    def until_seen(_: int) -> int:
        while not seen.exists():
            time.sleep(0.01)
        return 0

    frame = spark.range(2).coalesce(1).select(until_seen("id"))
    thread = threading.Thread(target=frame.collect, daemon=True)
    thread.start()
    work = None
    while work is None and thread.is_alive():
        work = work_of(spark)
    seen.touch()
    thread.join()
    assert work == Work(stages=1, done=0, tasks=1)
