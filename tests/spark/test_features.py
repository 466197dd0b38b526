"""Promises of the feature steps: nothing leaks, nothing is done twice, bulk equals nightly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.asof import join_lookup
from feature_store.features import build_features
from feature_store.tiles import build_tiles
from jobs.build_features import build_day_features
from jobs.context import Context
from jobs.ingest import build_day_tiles, ingest
from tests.toy import FIRST_DAY, Prices, Row, Rows, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from feature_store.home import Home

DAYS = toy_days(6)


def features(
    spark: SparkSession, definition: Definition, days: Sequence[date]
) -> list[tuple[object, ...]]:
    """Return the features of `days` computed straight from the source rows."""
    source = definition.source
    assert isinstance(source, Rows)
    everything = sorted({FIRST_DAY + (DAYS[1] - DAYS[0]) * row.day for row in source.rows})
    events = source.read(spark, everything).drop("source_file").coalesce(1)
    lookups = {
        lookup.name: lookup.source.read(spark, everything).coalesce(1)
        for lookup in definition.lookups
    }
    tiles = build_tiles(events, definition)
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
    events = definition.source.read(spark, DAYS[:3])
    side = prices.read(spark, DAYS[:3])
    joined = join_lookup(events, side, definition.lookups[0], definition)
    assert {r.item: r.prices and r.prices.list_price for r in joined.collect()} == {
        "x": 3.0,
        "y": None,
    }


ROWS = st.lists(
    st.builds(
        Row,
        day=st.integers(0, 5),
        user=st.sampled_from("abc"),
        item=st.sampled_from("xy"),
        price=st.sampled_from([None, 0.5, 2.0]),
        clicked=st.sampled_from([True, False, None]),
        planned=st.sampled_from([-6.0, 5.0]),
        click_known=st.sampled_from([13.0, 24.0, 30.0, 80.0]),
    ),
    min_size=3,
    max_size=12,
    unique_by=lambda row: (row.day, row.user, row.item),
)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, data=st.data())
def test_changing_what_is_not_yet_known_changes_no_feature(
    spark: SparkSession, rows: list[Row], data: st.DataObject
) -> None:
    """Leak-freedom: flip every outcome not known before a day's cut-off, and drop later rows."""
    day = data.draw(st.integers(1, 5))

    def unknown(row: Row) -> bool:
        return row.day * 24 + row.click_known >= day * 24

    changed = [
        Row(**{**_asdict(row), "clicked": not row.clicked}) if unknown(row) else row
        for row in rows
        if row.day <= day
    ]
    before = features(spark, toy_definition(rows), [DAYS[day]])
    assert features(spark, toy_definition(changed), [DAYS[day]]) == before


def _asdict(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in Row.__dataclass_fields__}


def test_many_days_at_once_equal_one_by_one_and_a_rerun_writes_nothing(
    spark: SparkSession, home: Home
) -> None:
    rows = [
        Row(day=d, user=u, item=i, clicked=(d + len(u + i) + ord(u)) % 3 == 0)
        for d in range(6)
        for u in "abcd"
        for i in "xy"
    ]
    definition = toy_definition(rows, Prices(tuple(("x", d, 3, -1, d + 0.5) for d in range(6))))
    bulk = Context.open(definition, home, spark, "1")
    ingest(bulk, DAYS)
    build_day_tiles(bulk, DAYS)
    build_day_features(bulk, DAYS)

    other_home = type(home)(home.root + "-nightly")
    nightly = Context.open(definition, other_home, spark, "1")
    for day in DAYS:
        ingest(nightly, [day])
        build_day_tiles(nightly, [day])
        build_day_features(nightly, [day])

    def rows_of(context: Context) -> list[tuple[object, ...]]:
        return sorted(tuple(row) for row in context.warehouse.read("features").collect())

    assert rows_of(bulk) == rows_of(nightly)
    tables = ["events", "quarantine", "tiles", "features", "lookup_prices"]
    versions = {table: nightly.warehouse.version(table) for table in tables}
    again = Context.open(definition, other_home, spark, "1")
    ingest(again, [DAYS[3]])
    build_day_tiles(again, [DAYS[3]])
    result = build_day_features(again, [DAYS[3]])
    assert (result.written, result.skipped) == ((), (DAYS[3],))
    assert {table: again.warehouse.version(table) for table in tables} == versions
