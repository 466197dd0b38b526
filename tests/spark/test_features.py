"""Promises of the feature steps: nothing leaks, nothing is done twice, bulk equals nightly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.definition import (
    Categorical,
    Column,
    Dtype,
    History,
    Known,
    Lookup,
    Numeric,
    Stream,
)
from feature_store.errors import SourceDayMissing
from feature_store.features.asof import join_lookups
from feature_store.features.features import build_features
from feature_store.features.tiles import build_tiles
from feature_store.home import Home
from feature_store.schema import stream_table
from jobs.context import Context
from jobs.night.build_features import build_day_features
from jobs.night.build_tiles import build_day_tiles
from tests.taken_in import ingest
from tests.toy import (
    COLUMNS,
    EVENTS,
    FIRST_DAY,
    QUARANTINE,
    SCHEMA,
    TILES,
    Prices,
    Row,
    Rows,
    changed,
    toy_days,
    toy_definition,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Definition

DAYS = toy_days(6)
PRICES = stream_table("prices", "events")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trip(Row):
    """A row to which a plane is assigned, at an hour from the midnight of its day."""

    plane: str | None = "p"
    assigned: float = -5.0

    def values(self) -> tuple[object, ...]:
        """Return the row in the order of Trips.read."""
        midnight = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=self.day)
        return (*Row.values(self), self.plane, midnight + timedelta(hours=self.assigned))


@dataclass(frozen=True, slots=True)
class Trips(Rows):
    """A source of trips held in memory."""

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        wanted = [row.values() for row in self.rows if row.values()[0] in set(days)]
        return spark.createDataFrame(wanted, f"{SCHEMA}, plane string, assigned_at timestamp")


@dataclass(frozen=True, slots=True)
class Seats:
    """A lookup of one day: the seats of each plane, known long before."""

    rows: tuple[tuple[str, float], ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest of all rows."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return every plane."""
        known = datetime(2025, 1, 1, tzinfo=UTC)
        rows = [(min(days, default=FIRST_DAY), *row, known, known) for row in self.rows]
        schema = "ds date, plane string, seats double, event_time timestamp, known_at timestamp"
        return spark.createDataFrame(rows, schema)


SEATS: tuple[tuple[str, Dtype], ...] = (
    ("plane", "string"), ("seats", "double"), ("event_time", "timestamp"),
    ("known_at", "timestamp"),
)  # fmt: skip


def trip_definition(rows: Sequence[Row]) -> Definition:
    """Return the toy pipeline with all that a plane, assigned perhaps too late, may be used for."""
    toy = toy_definition(rows, Prices(tuple(("x", d, -9, -9, d + 1.0) for d in range(6))))
    plane = Column(name="plane", dtype="string", known="assignment")
    seats = Lookup(
        name="planes",
        stream=Stream(
            name="planes", source=Seats((("p", 100.0), ("q", 200.0))), kind="snapshots",
            keys=("plane",), event_time="event_time", knowns=(Known(name="told", at="known_at"),),
            columns=tuple(
                Column(name=name, dtype=dtype, known="told")
                for name, dtype in SEATS
            ),
            first_day=FIRST_DAY,
        ),
        columns=("seats",),
    )  # fmt: skip
    return changed(
        toy,
        source=Trips(tuple(rows)),
        knowns=(*toy.stream.knowns, Known(name="assignment", at="assigned_at")),
        columns=(*COLUMNS, plane, replace(plane, name="assigned_at", dtype="timestamp")),
        features=(
            *toy.features,
            Categorical(name="plane", column="plane"),
            Numeric(name="seats", column="planes.seats"),
        ),
        histories=(
            *toy.histories,
            History(
                name="plane_ctr", keys=("plane",), value="clicked", known="click", windows=(4,)
            ),
        ),
        lookups=(replace(toy.lookups[0], at="assigned_at", max_age_hours=48), seats),
    )


def features(
    spark: SparkSession, definition: Definition, days: Sequence[date]
) -> list[tuple[object, ...]]:
    """Return the features of `days` computed straight from the source rows."""
    source = definition.stream.source
    assert isinstance(source, Rows)
    everything = sorted({FIRST_DAY + (DAYS[1] - DAYS[0]) * row.day for row in source.rows})
    events = source.read(spark, everything).drop("source_file").coalesce(1)
    lookups = {
        lookup.name: lookup.stream.source.read(spark, everything).coalesce(1)
        for lookup in definition.lookups
    }
    tiles = build_tiles(events, definition.tilings(definition.stream))
    frame = build_features(
        events.where(events.ds.isin(list(days))), tiles, lookups, definition, days
    )
    return sorted(tuple(row) for row in frame.collect())


def test_a_window_counts_only_clicks_known_before_the_cut_off(spark: SparkSession) -> None:
    rows = [
        Row(day=0, user="a", item="x", clicked=True, click_known=13),
        Row(day=0, user="b", item="x", clicked=False, click_known=47.9),
        Row(day=0, user="c", item="x", clicked=True, click_known=48),
        Row(day=1, user="a", item="x"),
        Row(day=2, user="a", item="x"),
        Row(day=3, user="a", item="x"),
    ]
    found = {
        (row[0] - FIRST_DAY).days: row[5:]
        for row in features(spark, toy_definition(rows), DAYS[1:4])
    }
    # mean and count over 2 days, mean and count over 4 days; the row of day d counts from d + 2.
    assert found[1] == (1.0, 1.0, 1.0, 1.0)
    assert found[2] == (0.5, 2.0, 0.5, 2.0)
    assert found[3] == (0.0, 1.0, pytest.approx(2 / 4), 4.0)


def test_a_row_planned_after_the_cut_off_is_history_but_not_scored(spark: SparkSession) -> None:
    late = Row(day=0, user="late", item="x", planned=1, clicked=True, click_known=20)
    rows = [late, Row(day=0, user="a", item="x"), Row(day=1, user="a", item="x")]
    found = features(spark, toy_definition(rows), DAYS[:2])
    assert [(row[0], row[1]) for row in found] == [(DAYS[0], "a"), (DAYS[1], "a")]
    assert found[1][5:7] == (1.0, 1.0)


def test_a_key_or_a_time_that_was_not_known_in_time_joins_nothing(spark: SparkSession) -> None:
    rows = [
        Trip(day=0, user="a", item="x", clicked=True, click_known=13),
        Trip(day=1, user="early", item="x"),
        Trip(day=1, user="late", item="x", assigned=1),
    ]
    found = {row[1]: row[5:] for row in features(spark, trip_definition(rows), [DAYS[1]])}
    item_ctr = (1.0, 1.0, 1.0, 1.0)
    # Price as of the assignment, plane, its seats, the history of the item and of the plane.
    assert found["early"] == (2.0, "p", 100.0, *item_ctr, 1.0, 1.0)
    assert found["late"] == (None, None, None, *item_ctr, None, 0.0)


def test_a_value_counts_in_a_history_once_its_key_is_known_too(spark: SparkSession) -> None:
    rows = [
        Trip(day=0, user="a", item="x", clicked=True, click_known=13, assigned=30),
        Trip(day=0, user="b", item="x", clicked=True, click_known=13, plane=None),
        *(Trip(day=day, user="a", item="x") for day in (1, 2)),
    ]
    found = features(spark, trip_definition(rows), DAYS[1:3])
    assert [(row[0], *row[-2:]) for row in found] == [
        (DAYS[1], None, 0.0),
        (DAYS[2], 1.0, 1.0),
    ]


def test_histories_of_other_windows_and_rows_without_a_key_leave_each_other_alone(
    spark: SparkSession,
) -> None:
    """One pass over the tiles serves all histories and days: any days at once are each alone."""
    rows = [
        Trip(day=0, user="a", item="x", price=0.5, clicked=True, click_known=13),
        Trip(day=0, user="b", item="x", price=2.0, clicked=True, click_known=13, plane="q"),
        Trip(day=1, user="a", item="x", price=0.25),
        *(Trip(day=day, user="a", item="x") for day in (2, 3)),
        Trip(day=4, user="a", item="x", click_known=13),
        Trip(day=5, user="a", item="x"),
        *(Trip(day=day, user="none", item="x", plane=None) for day in (2, 3, 5)),
    ]
    definition = trip_definition(rows)
    spent = History(
        name="spent", keys=("plane",), value="price", known="click", windows=(3, 1),
        aggregates=("sum", "count"),
    )  # fmt: skip
    definition = changed(definition, histories=(definition.histories[-1], spent))
    days = [DAYS[2], DAYS[3], DAYS[5]]
    found = features(spark, definition, days)
    # Mean and count over 4 days, then sum and count over 3 days and over 1.
    assert {(row[0], row[1]): row[-6:] for row in found} == {
        (DAYS[2], "a"): (1.0, 1.0, 0.5, 1.0, None, 0.0),
        (DAYS[3], "a"): (0.5, 2.0, 0.75, 2.0, None, 0.0),
        (DAYS[5], "a"): (0.0, 4.0, 3.0, 3.0, 1.0, 1.0),
        **{(day, "none"): (None, 0.0) * 3 for day in days},
    }
    assert found == sorted(row for day in days for row in features(spark, definition, [day]))


def test_a_lookup_takes_the_latest_row_known_and_not_after(spark: SparkSession) -> None:
    rows = [Row(day=1, user="a", item="x"), Row(day=2, user="a", item="y")]
    prices = Prices(
        (
            ("x", 0, 11, -1, 1.0),  # older than 24 hours before noon
            ("x", 1, 3, -1, 2.0),
            ("x", 1, 12, -1, 3.0),  # exactly at the time
            ("x", 1, 11.5, 1, 4.0),  # known after the cut-off
            ("x", 1, 13, -1, 5.0),  # after the time
            ("y", 2, 12, 0, 6.0),  # known exactly at the cut-off
        )
    )
    definition = toy_definition(rows, prices)
    events = definition.stream.source.read(spark, DAYS[:3])
    side = prices.read(spark, DAYS[:3])
    joined = join_lookups(events, {"prices": side}, definition, definition.lookups)
    assert {r.item: r.prices and r.prices.list_price for r in joined.collect()} == {
        "x": 3.0,
        "y": None,
    }


def test_of_equal_lookup_rows_the_same_is_taken_in_any_order(spark: SparkSession) -> None:
    definition = toy_definition([Row(day=1, user="a", item="x")], Prices(()))
    told = definition.lookups[0].stream
    more = (Column(name=name, dtype="double", known="told") for name in ("low", "high"))
    lookup = replace(
        definition.lookups[0],
        columns=("low", "high"),
        stream=replace(told, columns=(*told.columns, *more)),
    )
    features = (*definition.features[:-1], Numeric(name="low_price", column="prices.low"))
    definition = changed(definition, features=features, lookups=(lookup,))
    events = definition.stream.source.read(spark, DAYS[:2])
    values = [(1.0, None), (None, 1.0), (2.0, 1.0), (None, None)]
    taken = []
    for order in (values, values[::-1]):
        rows = ", ".join(f"({low or 'NULL'}, {high or 'NULL'})" for low, high in order)
        side = spark.sql(
            "SELECT DATE'2026-01-02' AS ds, 'x' AS item, "
            "TIMESTAMP'2026-01-02 03:00:00' AS event_time, "
            "TIMESTAMP'2026-01-01 00:00:00' AS known_at, CAST(low AS double) AS low, "
            f"CAST(high AS double) AS high FROM VALUES {rows} AS t(low, high)"
        ).coalesce(1)
        joined = join_lookups(events, {"prices": side}, definition, definition.lookups)
        taken.append(joined.collect()[0].prices)
    assert taken[0] == taken[1]


TRIPS = st.lists(
    st.builds(
        Trip,
        day=st.integers(0, 5),
        user=st.sampled_from("abc"),
        item=st.sampled_from("xy"),
        price=st.sampled_from([None, 0.5, 2.0]),
        clicked=st.sampled_from([True, False, None]),
        planned=st.sampled_from([-6.0, 5.0]),
        click_known=st.sampled_from([13.0, 24.0, 30.0, 80.0]),
        plane=st.sampled_from(["p", "q", None]),
        assigned=st.sampled_from([-5.0, 3.0, 30.0]),
    ),
    min_size=3,
    max_size=12,
    unique_by=lambda row: (row.day, row.user, row.item),
)


@pytest.mark.slow
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=TRIPS, data=st.data())
def test_changing_what_is_not_yet_known_changes_no_feature(
    spark: SparkSession, rows: list[Trip], data: st.DataObject
) -> None:
    """Leak-freedom: change every outcome and plane not known before a day's cut-off.

    Later rows are dropped.
    """
    day = data.draw(st.integers(1, 5))
    changed = [_changed(row, day) for row in rows if row.day <= day]
    before = features(spark, trip_definition(rows), [DAYS[day]])
    assert features(spark, trip_definition(changed), [DAYS[day]]) == before


def _changed(trip: Trip, day: int) -> Trip:
    """Return the trip with all of it changed that is not known when `day` begins."""
    hours = (day - trip.day) * 24
    if trip.click_known >= hours:
        trip = replace(trip, clicked=not trip.clicked)
    if trip.assigned >= hours:
        trip = replace(trip, plane="q" if trip.plane == "p" else "p", assigned=hours + 1.0)
    return trip


class Asked(Rows):
    """A source that fails the test if it is asked for a day it has nothing for."""

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        for day in days:
            self.fingerprint(day)
        return Rows.read(self, spark, days)


def test_a_day_that_never_comes_is_empty_and_blocks_no_later_one(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=d, user="a", item="x", clicked=True, click_known=13) for d in (0, 2, 3)]
    waiting = toy_definition(rows, source=Asked(tuple(rows)))
    context = Context.open(waiting, home, spark)
    ingest(context, [DAYS[0]])
    with pytest.raises(SourceDayMissing):
        ingest(context, [DAYS[1]])
    definition = changed(waiting, absent_days=(DAYS[1],))
    context = Context.open(definition, home, spark)
    # The night of one day: what its windows read is there, or is one of the absent days.
    ingest(context, [DAYS[2]])
    build_day_tiles(context, context.definition.stream, DAYS[:3])
    build_day_features(context, [DAYS[2]])
    (row,) = context.warehouse.read("features", [DAYS[2]]).collect()
    assert tuple(row[-4:]) == (1.0, 1.0, 1.0, 1.0)
    commit = context.warehouse.commit(context.events, DAYS[1])
    assert commit is not None
    assert (commit.rows, commit.inputs.source) == (0, "absent")
    assert definition.stream.digest == waiting.stream.digest
    assert definition.digest("features") == waiting.digest("features")
    assert not ingest(context, DAYS[:3])[0].written


def test_superseded_rows_do_not_count_against_the_ceiling(spark: SparkSession, home: Home) -> None:
    rows = [Row(day=0, user="a", item="x", price=h, click_known=13 + h) for h in (0.0, 2.0, 1.0)]
    context = Context.open(toy_definition(rows, max_bad_share=0.0), home, spark)
    ingest(context, [DAYS[0]])
    assert [row.price for row in context.warehouse.read(EVENTS).collect()] == [2.0]
    reasons = [row.reason for row in context.warehouse.read(QUARANTINE).collect()]
    assert reasons == ["superseded", "superseded"]


class TextPrices(Prices):
    """The prices as a CSV file gives them."""

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`, all of them text."""
        rows = Prices.read(self, spark, days)
        return rows.select("ds", *[rows[n].cast("string") for n in rows.columns if n != "ds"])


@pytest.mark.slow
def test_a_lookup_from_text_gives_the_features_of_a_typed_one(
    spark: SparkSession, tmp_path: Path
) -> None:
    prices = (("x", 1, 3.0, -1.0, 2.5), ("x", 0, 20.0, -1.0, 1.5))
    found = []
    for side in (Prices(prices), TextPrices(prices)):
        definition = toy_definition([Row(day=1, user="a", item="x")], side, first_day=DAYS[1])
        context = Context.open(definition, Home.of(tmp_path / type(side).__name__), spark)
        ingest(context, [DAYS[1]])
        build_day_features(context, [DAYS[1]])
        stored, features_df = map(context.warehouse.read, (PRICES, "features"))
        found.append((sorted(stored.dtypes), features_df.collect()))
    assert found[0] == found[1]
    assert found[0][1][0].list_price == 2.5


@pytest.mark.slow
def test_many_days_at_once_equal_one_by_one_and_a_rerun_writes_nothing(
    spark: SparkSession, home: Home
) -> None:
    days = DAYS[:4]
    rows = [
        Row(day=d, user=u, item=i, clicked=(d + len(u + i) + ord(u)) % 3 == 0)
        for d in range(4)
        for u in "abcd"
        for i in "xy"
    ]
    definition = toy_definition(rows, Prices(tuple(("x", d, 3, -1, d + 0.5) for d in range(6))))
    bulk = Context.open(definition, home, spark)
    ingest(bulk, days)
    build_day_tiles(bulk, bulk.definition.stream, days)
    build_day_features(bulk, days)

    other_home = type(home)(home.root + "-nightly")
    nightly = Context.open(definition, other_home, spark)
    for day in days:
        ingest(nightly, [day])
        build_day_tiles(nightly, nightly.definition.stream, [day])
        build_day_features(nightly, [day])

    def rows_of(context: Context) -> list[tuple[object, ...]]:
        return sorted(tuple(row) for row in context.warehouse.read("features").collect())

    assert rows_of(bulk) == rows_of(nightly)
    tables = [EVENTS, QUARANTINE, TILES, "features", PRICES]
    versions = {table: nightly.warehouse.version(table) for table in tables}
    again = Context.open(definition, other_home, spark)
    ingest(again, [days[3]])
    build_day_tiles(again, again.definition.stream, [days[3]])
    result = build_day_features(again, [days[3]])
    assert (result.written, result.skipped) == ((), (days[3],))
    assert {table: again.warehouse.version(table) for table in tables} == versions
