"""The generated shop: the same rows in any company, and as probable as its truth says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from feature_store.events.quarantine import bad_rows, judge_rows
from feature_store.events.versions import EARLIER, as_of
from feature_store.home import Home
from feature_store.schema import stream_table
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_ads import impressions
from feature_store.sources.shop_settings import FIRST_DAY, Shop, count_by
from feature_store.sources.shop_truth import (
    best_clicks,
    best_conversions,
    best_reorders,
    click_probabilities,
    conversion_probabilities,
    ordered_pairs,
    reorder_probabilities,
)
from feature_store.streams import shop_orders
from jobs.context import Context
from jobs.night.ingest import ingest_events
from tests.toy import toy_definition
from tests.unit.test_shop import STREAMS, TABLES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Stream
    from feature_store.sources.shop import Table

TINY = Shop(
    users=60, items=32, new_users_per_day=2, new_items_per_day=1, impressions_per_day=150,
    late_share=0.05, slow_share=0.5, corrected_share=0.2, cancelled_share=0.1,
)  # fmt: skip
"""Late and wrong far more often than a shop is, so that a few days hold enough of it."""
SMALL = replace(TINY, users=300, items=64, impressions_per_day=800)
"""Large enough to count how often something happens."""
DAYS = [FIRST_DAY + timedelta(days=lag) for lag in range(90)]
DAY = DAYS[40]


def table(name: Table, shop: Shop = SMALL) -> ShopTable:
    return ShopTable(table=name, shop=shop)


@pytest.mark.parametrize("name", TABLES)
def test_a_day_is_the_same_in_any_company(spark: SparkSession, name: Table) -> None:
    source = table(name, TINY)
    alone = source.read(spark, [DAY]).collect()
    among = source.read(spark, [DAYS[0], DAYS[60], DAY, DAYS[39]]).where(f"ds = '{DAY}'")
    assert alone
    assert sorted(alone) == sorted(among.repartition(3).collect())


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_declares_what_its_source_gives(spark: SparkSession, stream: Stream) -> None:
    assert isinstance(stream.source, ShopTable)
    rows = table(stream.source.table, TINY).read(spark, [DAY])
    assert dict(rows.dtypes) == {**stream.types, "ds": "date", "source_file": "string"}
    bad = bad_rows(judge_rows(rows, stream), stream)
    assert {row.reason for row in bad.collect()} <= {"superseded"}


def test_a_seed_is_a_shop_of_its_own(spark: SparkSession) -> None:
    def orders(shop: Shop) -> set[str]:
        return {row.order_id for row in table("orders", shop).read(spark, [DAY]).collect()}

    mine, others = orders(TINY), orders(replace(TINY, seed=8))
    assert len(mine & others) < 0.1 * len(mine)


def test_a_shop_is_as_large_as_it_is_asked_to_be(spark: SparkSession) -> None:
    large = replace(SMALL, users=900, impressions_per_day=2_400)
    assert table("impressions", large).read(spark, DAYS[4:6]).count() == 4_800
    assert table("users", large).read(spark, [FIRST_DAY]).count() == 900
    orders = [table("orders", shop).read(spark, [DAY]).count() for shop in (SMALL, large)]
    assert 2 < orders[1] / orders[0] < 4


@pytest.mark.slow
def test_side_tables_tell_what_clicks_depend_on(spark: SparkSession) -> None:
    """All that came is told, none longer ago than promised, and ads are of what was told last."""
    for name, key, every, columns in (
        ("users", "user_id", 28, ("segment", "city")),
        ("items", "item_id", 14, ("category", "brand", "price")),
    ):
        rows = table(name, TINY).read(spark, DAYS[:40])  # type: ignore[arg-type]
        last = rows.groupBy(key).agg(
            F.max("ds").alias("told"), *[F.max_by(c, "event_time").alias(c) for c in columns]
        )
        assert last.count() == count_by(TINY, "_user" if name == "users" else "_item", DAYS[39])
        assert last.where(F.datediff(F.lit(DAY), "told") > every).isEmpty()
        assert rows.where(
            "known_at >= date_add(ds, 1) OR event_time > known_at AND ds > '2026-01-01'"
        ).isEmpty()
        shown = impressions(spark, TINY, [DAY]).select(key, *columns).distinct()
        assert shown.exceptAll(last.select(key, *columns)).isEmpty()


@pytest.mark.slow
def test_clicks_are_as_probable_as_is_said(spark: SparkSession) -> None:
    days = DAYS[40:50]
    clicks = table("clicks").read(spark, days).select("impression_id", F.lit(1).alias("y"))
    told = click_probabilities(spark, SMALL, days)
    require_calibrated(told.join(clicks, "impression_id", "left"))
    planned = table("impressions").read(spark, days).where("planned_at < CAST(ds AS timestamp)")
    assert told.count() == planned.count() < 8_000


@pytest.mark.slow
def test_orders_given_a_click_are_as_probable_as_is_said(spark: SparkSession) -> None:
    days, pair = DAYS[30:70], ["ds", "user_id", "item_id"]
    pairs = conversion_probabilities(spark, SMALL, days).dropDuplicates(pair)
    require_calibrated(ordered_within_7_days(spark, pairs))


@pytest.mark.slow
def test_orders_again_are_as_probable_as_is_said_where_many_are_told_late(
    spark: SparkSession,
) -> None:
    # A week apart: what one day is judged by has happened before the next is told of.
    pairs = ordered_pairs(spark, SMALL, DAYS[40:83:7])
    require_calibrated(ordered_within_7_days(spark, reorder_probabilities(SMALL, pairs)))


@pytest.mark.slow
def test_the_truth_is_far_from_certain_and_from_chance(spark: SparkSession) -> None:
    pairs = ordered_pairs(spark, SMALL, [DAY])
    for best in (
        best_clicks(spark, SMALL, [DAY]),
        best_conversions(spark, SMALL, DAYS[36:44]),
        best_reorders(SMALL, pairs),
    ):
        assert 0.65 < best.auc < 0.95
        assert best.rows > 100


def test_corrected_and_cancelled_orders_are_versions_of_one(
    spark: SparkSession, home: Home
) -> None:
    stream = replace(shop_orders.SHOP_ORDERS, source=table("orders"))
    context = Context.open(toy_definition(()), home, spark)
    assert not ingest_events(context, stream, [DAY]).errors
    events = context.warehouse.read(stream_table("shop_orders", "events"), [DAY]).persist()
    raw = table("orders").read(spark, [DAY])
    assert events.count() == raw.select("order_id").distinct().count() < raw.count()
    assert events.where(f"{EARLIER} IS NOT NULL").count() == raw.count() - events.count()

    def now_and_first(status: str) -> list[tuple[int, str, int, str]]:
        first = F.element_at(EARLIER, 1)
        rows = events.where(f"{EARLIER} IS NOT NULL AND status = '{status}'")
        return [
            tuple(row)
            for row in rows.select(
                "quantity", "status", first["quantity"], first["status"]
            ).collect()
        ]

    corrected, cancelled = now_and_first("placed"), now_and_first("cancelled")
    assert corrected
    assert all(abs(now - then) == 1 for now, _, then, _ in corrected)
    assert cancelled
    assert all(now == then and before == "placed" for now, _, then, before in cancelled)
    # Before the next midnight nobody knew of a later change, and of some orders nothing at all.
    midnight = F.lit(DAYS[41]).cast("timestamp")
    evening = as_of(events, midnight).where(F.col("known_at") < midnight)
    assert 0 < evening.count() < events.count()
    told_since = events.where(F.col("known_at") >= midnight).select("order_id", EARLIER)
    then = evening.join(told_since, "order_id")
    assert not then.isEmpty()
    first = F.element_at(EARLIER, 1)
    assert then.where(
        (F.col("quantity") != first["quantity"]) | (F.col("status") != "placed")
    ).isEmpty()


def ordered_within_7_days(spark: SparkSession, pairs: DataFrame) -> DataFrame:
    """Return the pairs with `y`, 1 if an order of the same was placed on `ds` or six days after."""
    orders = (
        table("orders").read(spark, DAYS[30:90]).selectExpr("user_id", "item_id", "ds AS ordered")
    )
    labelled = pairs.join(orders, ["user_id", "item_id"], "left").groupBy(*pairs.columns)
    return labelled.agg(F.max(F.expr("int(datediff(ordered, ds) BETWEEN 0 AND 6)")).alias("y"))


def require_calibrated(rows: DataFrame) -> None:
    """Do nothing if `y` is 1 as often as `probability` says, over all rows and in each fifth.

    Rows are independent given the truth, so the number of ones has the variance sum p (1 - p); it
    may be 3.5 standard deviations away, which chance exceeds once in 2,000 times.
    """
    told = sorted(
        (row.probability, row.y or 0) for row in rows.select("probability", "y").collect()
    )
    assert len(told) > 300
    fifths = [told[len(told) * k // 5 : len(told) * (k + 1) // 5] for k in range(5)]
    for part in (told, *fifths):
        expected, found = (sum(column) for column in zip(*part, strict=True))
        allowed = 3.5 * sum(p * (1 - p) for p, _ in part) ** 0.5
        assert abs(found - expected) <= max(allowed, 1e-9), (len(part), expected, found, allowed)
