"""What was known of a row when: corrections, redeliveries, and what features and windows see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Column, History, Known, Numeric
from feature_store.events.quarantine import good_rows, judge_rows
from feature_store.events.versions import EARLIER, carried_over, every_version
from feature_store.features.features import build_features
from feature_store.features.tiles import build_tiles
from jobs.context import Context
from jobs.night.build_features import build_day_features
from jobs.night.build_tiles import build_day_tiles
from jobs.training.training_set import EVAL, TRAIN, VALID, training_frame
from tests.taken_in import ingest
from tests.toy import (
    COLUMNS,
    EVENTS,
    QUARANTINE,
    SCHEMA,
    Row,
    Rows,
    changed,
    split_bad_rows,
    toy_days,
    toy_definition,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Definition
    from feature_store.home import Home

DAYS = toy_days(7)
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid(Row):
    """A version of an impression that is bid for: hours from the midnight of its day."""

    bid: float | None = 1.0
    bid_known: float | None = -4.0

    def values(self) -> tuple[object, ...]:
        """Return the row in the order of Bids.read."""
        hours = self.bid_known
        known = None if hours is None else MIDNIGHT + timedelta(days=self.day, hours=hours)
        return (*Row.values(self), self.bid, known)


@dataclass(frozen=True, slots=True)
class Bids(Rows):
    """A source of bids held in memory."""

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        wanted = [row.values() for row in self.rows if row.values()[0] in set(days)]
        return spark.createDataFrame(wanted, f"{SCHEMA}, bid double, bid_known_at timestamp")


def bid_definition(rows: Sequence[Bid], **changes: Any) -> Definition:
    """Return the toy pipeline with a bid that is known apart from the plan."""
    toy = toy_definition(rows)
    bid = Column(name="bid", dtype="double", known="bid")
    bids = History(name="bids", keys=("item",), value="bid", known="bid", windows=(WINDOW,))
    return changed(
        toy,
        source=Bids(tuple(rows)),
        knowns=(*toy.stream.knowns, Known(name="bid", at="bid_known_at")),
        columns=(*COLUMNS, bid, replace(bid, name="bid_known_at", dtype="timestamp")),
        features=(*toy.features, Numeric(name="bid", column="bid")),
        histories=(
            replace(toy.histories[0], windows=(WINDOW,)),
            replace(bids, aggregates=("sum", "count")),
        ),
        max_bad_share=1.0,
        **changes,
    )


def delivered(spark: SparkSession, rows: Sequence[Bid], before: DataFrame | None = None) -> Any:
    """Return the events of a delivery that comes after the events `before`."""
    definition = bid_definition(rows)
    judged = judge_rows(definition.stream.source.read(spark, DAYS).coalesce(1), definition.stream)
    carried = None
    if before is not None:
        stored = every_version(before, definition.stream)
        carried = carried_over(stored, judged.where("_reason IS NULL"), definition.stream)
    return good_rows(judged, definition.stream, carried).coalesce(1).localCheckpoint()


def told(frame: DataFrame) -> list[tuple[object, ...]]:
    return sorted((tuple(row) for row in frame.collect()), key=repr)


def features_of(events: DataFrame, days: Sequence[date] = DAYS) -> list[tuple[object, ...]]:
    """Return the features of `days`, histories with them."""
    definition = bid_definition([])
    tiles = build_tiles(events, definition.tilings(definition.stream))
    rows = events.where(events.ds.isin(list(days)))
    return told(build_features(rows, tiles, {}, definition, days))


FIRST = Bid(day=0, user="u", item="x", bid=1.0, clicked=False, click_known=20.0)


def test_a_value_corrected_after_the_cut_off_leaves_the_day_the_one_it_had(
    spark: SparkSession,
) -> None:
    first = delivered(spark, [FIRST])
    late = replace(FIRST, bid=2.0, bid_known=3.0)
    whole = delivered(spark, [FIRST, late])
    only_the_correction = delivered(spark, [late], first)
    assert features_of(whole, DAYS[:1]) == features_of(first, DAYS[:1])
    assert told(only_the_correction) == told(whole)
    (event,) = only_the_correction.collect()
    assert (event.bid, [version.bid for version in event[EARLIER]]) == (2.0, [1.0])


def test_without_the_first_delivery_nobody_knows_what_was_known(spark: SparkSession) -> None:
    late = delivered(spark, [replace(FIRST, bid=2.0, bid_known=3.0)])
    assert features_of(late, DAYS[:1])[0][5] is None


def test_windows_see_a_correction_from_the_day_after_it_was_known(spark: SparkSession) -> None:
    late = replace(FIRST, bid=2.0, bid_known=50.0, clicked=True, click_known=80.0)
    later = [replace(FIRST, day=day, user="v", bid=None, clicked=None) for day in range(1, 6)]
    events = delivered(spark, [FIRST, late, *later])
    found = {row[0]: row[6:] for row in features_of(events, DAYS[1:6])}
    # Mean and count of clicks, sum and count of bids: known at 20, 80, -4 and 50 hours.
    assert [found[day] for day in DAYS[1:6]] == [
        (0.0, 1.0, 1.0, 1.0),
        (0.0, 1.0, 1.0, 1.0),
        (0.0, 1.0, 2.0, 1.0),
        (1.0, 1.0, 2.0, 1.0),
        (1.0, 1.0, 2.0, 1.0),
    ]


def test_a_value_that_is_taken_back_counts_no_more(spark: SparkSession) -> None:
    taken_back = replace(FIRST, clicked=None, click_known=60.0)
    later = [replace(FIRST, day=day, user="v", clicked=None) for day in (2, 3)]
    found = features_of(delivered(spark, [FIRST, taken_back, *later]), DAYS[2:4])
    assert [row[6:8] for row in found] == [(0.0, 1.0), (None, 0.0)]


def test_groups_are_taken_each_by_itself(spark: SparkSession) -> None:
    price = replace(FIRST, price=7.0, planned=-2.0)
    good, bad = split_bad_rows(
        bid_definition([FIRST, price]).stream.source.read(spark, DAYS), bid_definition([])
    )
    (event,) = good.collect()
    assert (event.price, event.clicked) == (7.0, False)
    assert [row.reason for row in bad.collect()] == ["superseded"]


def test_what_is_out_of_date_is_told(spark: SparkSession) -> None:
    rows = [FIRST, replace(FIRST, bid=2.0, bid_known=-3.0), replace(FIRST, bid=9.0, bid_known=21.0)]
    rows += [replace(FIRST, user="twin", price=price) for price in (1.0, 2.0)]
    _, bad = split_bad_rows(Bids(tuple(rows)).read(spark, DAYS), bid_definition([]))
    assert sorted(row.reason for row in bad.collect()) == [
        "duplicate_key",
        "superseded",
        "superseded",
    ]


def test_a_row_that_is_not_delivered_any_more_is_gone(spark: SparkSession) -> None:
    other = replace(FIRST, user="other")
    first = delivered(spark, [FIRST, other])
    assert [row.user for row in delivered(spark, [FIRST], first).collect()] == ["u"]


def test_a_delivery_replaces_what_it_tells_again(spark: SparkSession) -> None:
    first = delivered(spark, [FIRST])
    restated = delivered(spark, [replace(FIRST, bid=5.0)], first)
    (event,) = restated.collect()
    assert (event.bid, event[EARLIER]) == (5.0, None)


@pytest.mark.slow
@pytest.mark.parametrize("bid_known", [3.0, 30.0])
def test_a_redelivery_changes_no_feature_of_its_day_and_a_rerun_writes_nothing(
    spark: SparkSession, home: Home, bid_known: float
) -> None:
    rows = [replace(FIRST, day=day) for day in range(4)]
    context = Context.open(bid_definition(rows), home, spark)

    def bring_up(context: Context) -> list[tuple[object, ...]]:
        ingest(context, DAYS[:4])
        build_day_tiles(context, context.definition.stream, DAYS[:4])
        build_day_features(context, DAYS[:4])
        return told(context.warehouse.read("features"))

    first = bring_up(context)
    again = [replace(rows[0], bid=9.0, bid_known=bid_known), *rows[1:]]
    context = Context.open(bid_definition(again), home, spark)
    second = bring_up(context)
    assert [row[:6] for row in second] == [row[:6] for row in first]
    sums = {row[0]: row[-2] for row in second}
    seen_from = 1 if bid_known < 24 else 2
    expected = [None, *(1.0 * d + (8.0 if d >= seen_from else 0.0) for d in (1, 2, 3))]
    assert [sums[day] for day in DAYS[:4]] == expected
    commit = context.warehouse.commit(EVENTS, DAYS[0])
    assert commit is not None
    assert set(commit.inputs.pins) == {EVENTS}
    versions = {t: context.warehouse.version(t) for t in (EVENTS, QUARANTINE, "features")}
    assert bring_up(Context.open(bid_definition(again), home, spark)) == second
    assert {t: context.warehouse.version(t) for t in versions} == versions


@pytest.mark.slow
def test_training_takes_the_label_that_was_known_when_it_could_have_begun(
    spark: SparkSession, home: Home
) -> None:
    rows = [replace(FIRST, day=day, clicked=True, click_known=20.0) for day in range(3)]
    corrected = replace(rows[0], clicked=False, click_known=200.0)
    evaluated = replace(rows[2], clicked=False, click_known=200.0)
    context = Context.open(bid_definition([*rows, corrected, evaluated]), home, spark)
    ingest(context, DAYS[:3])
    build_day_tiles(context, context.definition.stream, DAYS[:3])
    build_day_features(context, DAYS[:3])
    days = {TRAIN: [DAYS[0]], VALID: [DAYS[1]], EVAL: [DAYS[2]]}
    labels = {row.ds: row.y_clicked for row in training_frame(context, days).collect()}
    assert labels == {DAYS[0]: 1.0, DAYS[1]: 1.0, DAYS[2]: 0.0}
