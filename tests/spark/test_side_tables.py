"""Side tables: which of their days are read, what is missed when one is late, dated snapshots."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.errors import (
    PartitionNotReady,
    SourceCorrupt,
    SourceDayMissing,
)
from feature_store.schema import EVENTS, stream_table
from feature_store.sources.files import DailyFiles
from jobs.context import Context
from jobs.night.build_features import build_day_features
from jobs.night.ingest import ingest_looked_up
from jobs.night.prepare import prepare
from tests.taken_in import ingest
from tests.toy import FIRST_DAY, Prices, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Definition
    from feature_store.home import Home

DAYS = toy_days(6)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


class Dated(Prices):
    """Prices of which each day has its own fingerprint, and which may lack some days."""

    def fingerprint(self, day: date) -> str:
        """Return a digest of the day's rows."""
        place = (day - FIRST_DAY).days
        own = [row for row in self.rows if row[1] == place]
        if not own:
            raise SourceDayMissing("prices", day, "not delivered", "Wait")
        return hashlib.sha256(repr(own).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`."""
        for day in days:
            self.fingerprint(day)
        return Prices.read(self, spark, days)


class Refreshed(Dated):
    """A whole table that is delivered again on some days."""

    def snapshot_days(self) -> list[date]:
        """Return the days of the snapshots."""
        return [FIRST_DAY + timedelta(days=place) for place in sorted({r[1] for r in self.rows})]


class Emptied(Dated):
    """Prices of which every day was delivered again as a header and nothing else."""

    def fingerprint(self, day: date) -> str:
        """Return another digest than that of the rows."""
        return f"{Dated.fingerprint(self, day)}-empty"

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return no row."""
        return Dated.read(self, spark, days).limit(0)


class Broken(Refreshed):
    """Snapshots of which the latest cannot be read."""

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Raise if the latest is among `days`."""
        if self.snapshot_days()[-1] in days:
            raise SourceCorrupt("prices.csv is not UTF-8", self.snapshot_days()[-1])
        return Refreshed.read(self, spark, days)


def definition_of(
    rows: Sequence[Row], prices: Prices, changes: dict[str, Any], **others: Any
) -> Definition:
    """Return the toy pipeline with its lookup changed, and without histories."""
    toy = toy_definition(rows, prices, histories=(), **others)
    of_stream = {name: changes[name] for name in ("kind", "keys", "event_days") if name in changes}
    of_lookup = {name: value for name, value in changes.items() if name not in of_stream}
    (lookup,) = toy.lookups
    stream = replace(lookup.stream, **of_stream)
    return changed(toy, lookups=(replace(lookup, stream=stream, **of_lookup),))


def list_prices(context: Context, days: Sequence[date], *, alone: bool = True) -> list[Any]:
    """Bring the features of `days` up to date, one day at a time or at once; return the prices."""
    for part in [[day] for day in days] if alone else [days]:
        ingest(context, part)
        build_day_features(context, part)
    features = context.warehouse.read("features", days).orderBy("ds", "user")
    return [row.list_price for row in features.collect()]


PRICES = stream_table("prices", EVENTS)
EVENING = {"at": "planned_at", "max_age_hours": 24}


@pytest.mark.slow
def test_a_time_on_the_evening_before_reads_the_day_before_that(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=day, user="u", item="x") for day in range(2, 5)]
    # Known 23 hours before planning, on the day before the evening.
    prices = Dated(tuple(("x", day, 19.0, 20.0, float(day)) for day in range(4)))
    definition = definition_of(rows, prices, EVENING)
    alone = list_prices(Context.open(definition, home, spark), DAYS[2:5])
    other = Context.open(definition, type(home)(f"{home.root}-2"), spark)
    assert alone == list_prices(other, DAYS[2:5], alone=False)
    assert alone == [0.0, 1.0, 2.0]


@pytest.mark.slow
def test_a_side_table_that_comes_after_its_day_stops_no_night_that_does_not_need_it(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=day, user="u", item="x") for day in (1, 2)]
    first = ("x", 0, 15.0, 16.0, 5.0)
    second = ("x", 1, 3.0, 30.0, 6.0)  # known after the night of its day
    context = Context.open(definition_of(rows, Dated((first,)), {}), home, spark)
    assert list_prices(context, DAYS[1:2]) == [5.0]
    with pytest.raises(SourceDayMissing, match="2026-01-02"):
        ingest(context, DAYS[2:3])
    delivered = Context.open(definition_of(rows, Dated((first, second)), {}), home, spark)
    assert list_prices(delivered, DAYS[1:3]) == [5.0, None]
    late = definition_of(rows, Dated((first,)), {"due_hours": 48})
    other = Context.open(late, type(home)(f"{home.root}-2"), spark)
    assert list_prices(other, DAYS[1:3]) == [5.0, None]
    commit = other.warehouse.commit("features", DAYS[1])
    assert commit is not None
    assert PRICES in commit.inputs.pins


def test_what_was_missed_and_known_in_time_makes_its_reader_stale(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=1, user="u", item="x")]
    first, ahead = ("x", 0, 15.0, 16.0, 5.0), ("x", 1, 3.0, -2.0, 6.0)
    context = Context.open(definition_of(rows, Dated((first,)), {}), home, spark)
    assert list_prices(context, DAYS[1:2]) == [5.0]
    later = Context.open(definition_of(rows, Dated((first, ahead)), {}), home, spark)
    assert list_prices(later, DAYS[1:2]) == [6.0]
    version = later.warehouse.version("features")
    again = Context.open(definition_of(rows, Dated((first, ahead)), {}), home, spark)
    assert list_prices(again, DAYS[1:2]) == [6.0]
    assert again.warehouse.version("features") == version


@pytest.mark.slow
def test_a_day_that_is_delivered_again_without_rows_keeps_those_it_had(
    spark: SparkSession, home: Home
) -> None:
    rows, first = [Row(day=1, user="u", item="x")], (("x", 0, 15.0, 16.0, 5.0),)
    context = Context.open(definition_of(rows, Dated(first), {"due_hours": 48}), home, spark)
    assert list_prices(context, DAYS[1:2]) == [5.0]
    emptied = definition_of(rows, Emptied(first), {"due_hours": 48})
    context = Context.open(emptied, home, spark)
    (lookup,) = emptied.lookups
    found = ingest_looked_up(context, lookup.stream, DAYS[1:2])
    said = r"prices: ds=2026-01-01: the day is empty, and an earlier delivery of it had 1 row"
    assert re.search(said, str(found.errors[DAYS[0]]))
    assert found.written == ()
    (note,) = prepare(context, DAYS[1:2], lambda _: None).notes
    assert note.startswith(f"{PRICES} 2026-01-01: bad redelivery, earlier version used")
    assert [row.list_price for row in context.warehouse.read("features").collect()] == [5.0]
    # A day that was empty from the first is one on which there was nothing.
    other = Context.open(emptied, type(home)(f"{home.root}-2"), spark)
    assert list_prices(other, DAYS[1:2]) == [None]


@pytest.mark.slow
def test_a_forecast_that_is_due_ahead_stops_the_night_that_lacks_it(
    spark: SparkSession, home: Home
) -> None:
    prices = Dated((("x", 0, 15.0, 16.0, 5.0),))
    definition = definition_of([Row(day=1, user="u", item="x")], prices, {"due_hours": -6})
    context = Context.open(definition, home, spark)
    with pytest.raises(SourceDayMissing, match=r"2026-01-02.* due_hours of the lookup prices"):
        ingest(context, DAYS[1:2])
    with pytest.raises(PartitionNotReady, match=r"prices/events: missing ds=2026-01-02 .*due_h"):
        build_day_features(context, DAYS[1:2])


SNAPSHOT = {"at": None, "max_age_hours": None, "kind": "snapshots", "keys": ("item",)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "expected"),
    [
        # Known the evening before the day of the second snapshot, or on that day.
        (-6.0, [1.0, 2.0, 2.0]),
        (9.0, [1.0, 1.0, 2.0]),
    ],
)
def test_a_snapshot_that_is_refreshed_changes_nothing_before_it(
    spark: SparkSession, home: Home, known: float, expected: list[float]
) -> None:
    days = [DAYS[1], DAYS[4], DAYS[5]]
    rows = [Row(day=day, user="u", item="x") for day in (1, 4, 5)]
    first, second = ("x", 0, -900.0, -900.0, 1.0), ("x", 4, -900.0, known, 2.0)
    once = definition_of(rows, Refreshed((first,)), SNAPSHOT)
    assert list_prices(Context.open(once, home, spark), days, alone=False) == [1.0] * 3
    twice = definition_of(rows, Refreshed((first, second)), SNAPSHOT)
    assert list_prices(Context.open(twice, home, spark), days) == expected
    other = Context.open(twice, type(home)(f"{home.root}-2"), spark)
    assert list_prices(other, days, alone=False) == expected


@pytest.mark.slow
def test_what_a_newer_snapshot_does_not_hold_is_gone(spark: SparkSession, home: Home) -> None:
    rows = [Row(day=day, user="u", item="x") for day in (1, 3)]
    shots = Refreshed((("x", 0, 0.0, -9.0, 1.0), ("y", 2, 0.0, -9.0, 2.0)))
    context = Context.open(definition_of(rows, shots, SNAPSHOT), home, spark)
    assert list_prices(context, [DAYS[1], DAYS[3]], alone=False) == [1.0, None]


@pytest.mark.slow
def test_a_snapshot_that_never_was_good_stops_the_nights_that_need_it(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=day, user="u", item="x") for day in (1, 3, 5)]
    shots = Broken((("x", 0, 0.0, -9.0, 1.0), ("x", 3, 0.0, -9.0, 2.0)))
    context = Context.open(definition_of(rows, shots, SNAPSHOT), home, spark)
    # On its own day it need not be whole yet: what was there before is used, and the night says so.
    (note,) = prepare(context, DAYS[3:4], lambda _: None).notes
    assert note == (f"{PRICES} 2026-01-04: refused, made without it: prices.csv is not UTF-8")
    assert [row.list_price for row in context.warehouse.read("features").collect()] == [1.0]
    with pytest.raises(SourceCorrupt, match=r"prices\.csv is not UTF-8"):
        prepare(context, DAYS[5:6], lambda _: None)


def test_the_snapshots_of_files_are_the_days_that_have_one(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-01-05"):
        (tmp_path / f"ds={day}").mkdir()
        (tmp_path / f"ds={day}" / "planes.csv").write_text("a\n")
    (tmp_path / "ds=2026-01-03").mkdir()
    assert DailyFiles(folder=str(tmp_path)).snapshot_days() == [DAYS[0], DAYS[4]]
