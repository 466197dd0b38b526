"""What was guessed of files reads them: no row of them is a bad one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from feature_store.events.quarantine import bad_rows, event_columns, good_rows, judge_rows
from feature_store.raw import read_rows
from tests.unit.test_init import DAYS, FIRST, by_day, clicks, guessed, made_of, put, users

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def log(folder: Path) -> tuple[Path, int]:
    frame = clicks(200)
    frame["age"] = frame["age"].astype(object).where(frame.index % 7 > 0, "NA")
    return put(folder / "log.csv", frame, sep=";"), 200


def parquet(folder: Path) -> tuple[Path, int]:
    frame = clicks(200).rename(columns={"user_id": "userId", "item": "Item Name"})
    frame["age"] = frame["age"].astype("float64").where(frame.index % 7 > 0)
    return put(folder / "log.parquet", frame), 200


def epoch(folder: Path) -> tuple[Path, int]:
    frame = clicks(200)
    frame["ts"] = frame["shown_at"].astype("datetime64[ms]").astype("int64")
    return put(folder / "log.csv", frame.drop(columns=["shown_at", "clicked_at"])), 200


def daily(folder: Path) -> tuple[Path, int]:
    return by_day(folder / "in", clicks(200)), 200


def snapshots(folder: Path) -> tuple[Path, int]:
    for n in range(DAYS):
        put(folder / "in" / f"users-{FIRST + timedelta(days=n)}.csv", users(20).assign(n=n))
    return folder / "in", 20 * DAYS


def dated(folder: Path) -> tuple[Path, int]:
    days = [str(FIRST + timedelta(days=n)) for n in range(DAYS)]
    frame = pd.concat([users(20).assign(date=day) for day in days])
    return put(folder / "users.csv", frame), 20 * DAYS


@pytest.mark.parametrize(
    "make",
    [
        log,
        parquet,
        epoch,
        dated,
        pytest.param(daily, marks=pytest.mark.slow),
        pytest.param(snapshots, marks=pytest.mark.slow),
    ],
)
def test_no_row_is_a_bad_one_to_what_was_guessed_of_it(
    spark: SparkSession, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    path, rows = make(tmp_path)
    stream = made_of(guessed(path)).stream
    days = [FIRST + timedelta(days=n) for n in range(DAYS)]
    raw = read_rows(stream.source, spark, days, event_columns(stream))
    judged = judge_rows(raw, stream).persist()
    bad = bad_rows(judged, stream).groupBy("reason").count().collect()
    assert [tuple(row) for row in bad] == []
    assert good_rows(judged, stream).count() == rows
    judged.unpersist()
