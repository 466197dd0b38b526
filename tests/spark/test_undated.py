"""Rows of undated files are judged like those of daily ones, each on the day that it says."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.events.casts import cast
from feature_store.events.quarantine import bad_rows, event_columns, good_rows, judge_rows
from feature_store.raw import FileSource, read_rows
from feature_store.sources.adapted import Adapted
from feature_store.sources.files import DailyFiles
from feature_store.sources.instants import _within, micros_of_text
from feature_store.sources.undated import UndatedFiles
from tests.delivered import COLUMNS, FIRST_DAY, NAMES, csv_line, delivered, put, rows
from tests.spark.test_delivered_files import CSV_VALUES
from tests.unit.test_undated import TEXTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from feature_store.definition import Source, Stream

DAYS = [FIRST_DAY + timedelta(days=n) for n in range(3)]
EPOCH = datetime(1970, 1, 1)


def over(source: Source) -> Stream:
    from dataclasses import replace

    return replace(delivered(Path("unused")).stream, source=source)


def judged(
    spark: SparkSession, source: Source, days: Sequence[date]
) -> tuple[dict[date, list[dict[str, Any]]], list[str]]:
    """Return the good rows of each day, by user, and the reasons of the bad ones."""
    stream = over(source)
    raw = read_rows(stream.source, spark, days, event_columns(stream))
    judged_df = judge_rows(raw, stream)
    good: dict[date, list[dict[str, Any]]] = {day: [] for day in days}
    for row in good_rows(judged_df, stream).orderBy("ds", "user").collect():
        good[row["ds"]].append({name: row[name] for name in NAMES})
    return good, [row["reason"] for row in bad_rows(judged_df, stream).collect()]


def whole_log(path: Path, kind: Literal["csv", "parquet"]) -> Path:
    """Write the rows of three days into one file, the days strewn over it."""
    listed = [row for pair in zip(*(rows(day) for day in DAYS), strict=True) for row in pair]
    if kind == "csv":
        path.write_text("\n".join([",".join(NAMES), *map(csv_line, listed)]) + "\n")
    else:
        frame = pd.DataFrame(listed)
        for name in ("planned_at", "happened_at", "click_known_at"):
            frame[name] = frame[name].dt.tz_localize(None).astype("datetime64[ns]")
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_log_of_three_days_gives_the_rows_that_daily_files_give(
    spark: SparkSession, tmp_path: Path, kind: Literal["csv", "parquet"]
) -> None:
    for day in DAYS:
        text = "\n".join([",".join(NAMES), *map(csv_line, rows(day))])
        put(tmp_path / "daily", day, "part.csv", text)
    log = UndatedFiles(
        path=str(whole_log(tmp_path / f"log.{kind}", kind)), day_column="happened_at", format=kind
    )
    assert isinstance(log, FileSource)
    expected = judged(spark, DailyFiles(folder=str(tmp_path / "daily")), DAYS)
    assert judged(spark, log, DAYS) == expected
    assert judged(spark, log, DAYS[1:2]) == ({DAYS[1]: expected[0][DAYS[1]]}, [])
    with pytest.raises(SourceDayMissing):
        judged(spark, log, [*DAYS, DAYS[-1] + timedelta(days=1)])


def test_the_day_may_stand_in_a_column_that_is_not_declared_and_called_ds(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "log.csv"
    lines = [f"{csv_line(row)},{day}" for day in DAYS for row in rows(day)]
    path.write_text("\n".join([f"{','.join(NAMES)},ds", *lines]))
    log = UndatedFiles(path=str(path), day_column="ds")
    good, bad = judged(spark, log, DAYS)
    assert ([len(good[day]) for day in DAYS], bad) == ([2, 2, 2], [])
    shown = log.read(spark, DAYS[:1]).collect()
    assert {(row["ds"], row["user"], row["item"]) for row in shown} == {
        (DAYS[0], "u1", "100"),
        (DAYS[0], "u2", "101"),
    }
    assert {row["source_file"] for row in shown} == {str(path)}


def test_a_row_is_judged_as_one_of_a_daily_file_is(spark: SparkSession, tmp_path: Path) -> None:
    first, second = rows(DAYS[0])
    first["price"] = "cheap"
    log = tmp_path / "log.csv"
    log.write_text("\n".join([",".join(NAMES), csv_line(first), csv_line(second)]))
    good, bad = judged(spark, UndatedFiles(path=str(log), day_column="happened_at"), DAYS[:1])
    assert ([row["user"] for row in good[DAYS[0]]], bad) == (["u2"], ["type(price)"])
    log.write_text(log.read_text() + "\nu3,102,1.0")
    with pytest.raises(SourceCorrupt, match="column happened_at: 1 row has no day") as raised:
        judged(spark, UndatedFiles(path=str(log), day_column="happened_at"), DAYS[:1])
    assert raised.value.ds == DAYS[0]


TIMES = ("planned_at", "happened_at", "click_known_at")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_and_units_and_times_that_are_told_make_the_rows_they_should(
    spark: SparkSession, tmp_path: Path, kind: Literal["csv", "parquet"]
) -> None:
    frame = pd.DataFrame([row for day in DAYS for row in rows(day)])
    seconds = (frame["happened_at"].dt.tz_localize(None) - EPOCH) // pd.Timedelta(seconds=1)
    theirs = pd.DataFrame(
        {
            "User ID": frame["user"],
            "itemId": frame["item"],
            "ts": seconds,
            "price": frame["price"],
            "stock": frame["stock"],
            "clicked": frame["clicked"],
            "seenMs": seconds.astype("float64") * 1000,
        }
    )
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        theirs.astype({"seenMs": "int64"}).to_csv(path, index=False)
    else:
        theirs.to_parquet(path)
    source = Adapted(
        source=UndatedFiles(path=str(path), day_column="ts", unit="seconds", format=kind),
        names=(
            ("user", "User ID"), ("item", "itemId"), ("happened_at", "ts"),
            ("click_known_at", "seenMs"),
        ),
        seconds=("happened_at",),
        milliseconds=("click_known_at",),
        times=(("planned_at", -6),),
    )  # fmt: skip
    good, bad = judged(spark, source, DAYS)
    assert bad == []
    for day in DAYS:
        wanted = [
            {
                **{k: v.replace(tzinfo=None) if k in TIMES else v for k, v in row.items()},
                "click_known_at": row["happened_at"].replace(tzinfo=None),
            }
            for row in rows(day)
        ]
        assert good[day] == wanted


def test_a_number_that_is_no_time_is_a_bad_row_and_not_a_null(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "ds=2026-01-02" / "part.csv"
    path.parent.mkdir()
    path.write_text(
        "u,ts,seen\na,1767355200,never\nb,1767355200,1767355200.25\nc,1767355200,\nNA,1767355200,NA\n"
    )
    source = Adapted(source=DailyFiles(folder=str(tmp_path)), seconds=("ts", "seen"), nulls=("NA",))
    columns = [
        Column(name="u", dtype="string", known=""),
        Column(name="ts", dtype="timestamp", known=""),
        Column(name="seen", dtype="timestamp", known=""),
    ]
    assert isinstance(source, FileSource)
    (part,) = source.read_parts(spark, DAYS[:1], columns)
    assert [(row["ts"], row["seen"]) for row in part.orderBy("u").collect()] == [
        ("2026-01-02 12:00:00", None),
        ("2026-01-02 12:00:00", "never"),
        ("2026-01-02 12:00:00", "2026-01-02 12:00:00.25"),
        ("2026-01-02 12:00:00", None),
    ]


def test_a_text_says_the_day_that_its_value_will_have(spark: SparkSession) -> None:
    """What a column is cast to by Spark, and what the day is told by, are two pieces of code."""
    texts = [text.replace("DAY", "2026-01-02") for column, text, _ in CSV_VALUES if "_at" in column]
    texts += [text for text, unit, _ in TEXTS if unit is None]
    texts += [
        f"{day} {clock}{zone}"
        for day in ("2024-02-29", "2023-02-29", "0001-01-02", "9999-12-31", "2026-13-01")
        for clock in ("00:00", "23:59:59.9999999", "24:00", "12:60", "12:00:60", "1:00")
        for zone in ("", "Z", " UTC", "+18:00", "-18:01", "+0530", "-00:00", "+19:00", "+05:60")
    ]
    raw = spark.createDataFrame([(text,) for text in texts], "at string")
    value = cast(Column(name="at", dtype="timestamp", known=""), "string").value
    found = raw.select("at", F.unix_micros(value).alias("micros")).collect()
    ours = [micros_of_text(text, None) for text in texts]
    # Both refuse what lies outside the years 1 to 9999, Spark where the row is judged.
    theirs = [_within(row["micros"]) if row["micros"] is not None else None for row in found]
    assert dict(zip(texts, ours, strict=True)) == dict(zip(texts, theirs, strict=True))


def test_a_large_parquet_file_is_shared_out_and_no_row_is_read_twice(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_store.sources import parquetfile

    path = whole_log(tmp_path / "log.parquet", "parquet")
    pq.write_table(pq.read_table(path), path, row_group_size=2)
    monkeypatch.setattr(parquetfile, "_PIECE_BYTES", path.stat().st_size // 3)
    log = UndatedFiles(path=str(path), day_column="happened_at", format="parquet")
    assert sum(part.count() for part in log.read_parts(spark, DAYS, COLUMNS)) == 6
