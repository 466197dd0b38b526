"""Streams that several pipelines read, and histories of streams that are not scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Definition, History, Stream
from feature_store.errors import PartitionNotReady, SourceDayMissing
from feature_store.home import Home
from feature_store.schema import FEATURES, stream_table
from jobs.backfill.freshness import Freshness
from jobs.context import Context
from jobs.night import build_tiles as tiles_step
from jobs.night.prepare import prepare
from jobs.night.steps import PREPARATION, carry_out
from jobs.night.stopwatch import Stopwatch
from jobs.night.work import Asked, Work
from tests.sales import Sale, sales_stream
from tests.toy import EVENTS, TILES, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS = toy_days(6)
SALES = stream_table("sales", "events")


def shop(rows: Sequence[Row], sales: Stream, name: str = "shop") -> Definition:
    """Return the toy pipeline that knows what its users bought."""
    bought = History(
        name="bought", stream=sales, keys=("buyer",), on=("user",), value="amount", known="told",
        windows=(2, 3), aggregates=("sum", "count"),
    )  # fmt: skip
    toy = toy_definition(rows)
    return replace(toy, name=name, histories=(*toy.histories, bought))


def impressions(days: int = 6) -> list[Row]:
    users = [("a", "x"), ("b", "x"), ("a", "y")]
    return [Row(day=d, user=u, item=i, clicked=u == "a") for d in range(days) for u, i in users]


def daily_sales(days: int = 6) -> list[Sale]:
    return [Sale(day=d, number=d, buyer="a", amount=10.0 + d) for d in range(days)]


def features_of(context: Context, day: date) -> list[dict[str, Any]]:
    rows = context.warehouse.read(FEATURES, [day]).orderBy("user", "item").collect()
    return [row.asDict() for row in rows]


def bought(context: Context, day: date, user: str = "a") -> tuple[Any, ...]:
    """Return sum and count over two days, then over three."""
    names = [f"bought_{what}_{days}d" for days in (2, 3) for what in ("sum", "count")]
    rows = [row for row in features_of(context, day) if row["user"] == user]
    (found,) = {tuple(row[name] for name in names) for row in rows}
    return found


@pytest.mark.slow
def test_a_history_of_another_stream_counts_what_was_known_of_the_days_before(
    spark: SparkSession, home: Home
) -> None:
    sales = daily_sales()
    sales[3] = replace(sales[3], known=25.0)  # of day 3, told after midnight
    context = Context.open(shop(impressions(), sales_stream(sales)), home, spark)
    prepare(context, DAYS, lambda _: None)
    assert bought(context, DAYS[0]) == (None, 0.0, None, 0.0)
    assert bought(context, DAYS[3]) == (23.0, 2.0, 33.0, 3.0)
    assert bought(context, DAYS[4]) == (12.0, 1.0, 23.0, 2.0), "nobody had told of day 3 yet"
    assert bought(context, DAYS[5]) == (27.0, 2.0, 39.0, 3.0)
    assert bought(context, DAYS[5], "b") == (None, 0.0, None, 0.0)
    alone = Context.open(context.definition, Home.of(Path(home.root, "alone")), spark)
    for day in DAYS[3:]:
        prepare(alone, [day], lambda _: None)
        assert features_of(alone, day) == features_of(context, day)


@pytest.mark.slow
def test_what_becomes_known_at_the_cutoff_or_later_changes_no_feature(
    spark: SparkSession, home: Home
) -> None:
    later = [Sale(day=d, number=100 + d, buyer="b", amount=1e6, known=k) for d, k in
             [(1, 48.0), (2, 24.0), (2, 24.5), (3, 1.0)]]  # fmt: skip
    # Of one number on a day the one told later holds.
    later[2] = replace(later[2], number=200)
    for name, sales in (("before", daily_sales()), ("after", [*daily_sales(), *later])):
        own = Home.of(Path(home.root, name))
        context = Context.open(shop(impressions(), sales_stream(sales)), own, spark)
        prepare(context, DAYS[:3], lambda _: None)
        found = [features_of(context, day) for day in DAYS[:3]]
        if name == "before":
            wanted = found
    assert found == wanted


@pytest.mark.slow
def test_two_pipelines_share_what_is_ingested_and_what_is_counted_alike(
    spark: SparkSession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[list[str]] = []
    build = tiles_step.build_tiles

    def build_and_tell(events: DataFrame, tilings: Sequence[Any]) -> DataFrame:
        computed.append([tiling.value for tiling in tilings])
        return build(events, tilings)

    monkeypatch.setattr(tiles_step, "build_tiles", build_and_tell)
    stream = sales_stream(daily_sales())
    first = shop(impressions(), stream, "first")
    clicks, amounts = first.histories
    spent = replace(amounts, name="spent", windows=(1, 3), aggregates=("mean",))
    prices = replace(clicks, name="prices", value="price", known="plan")
    second = replace(first, name="second", histories=(spent, prices))

    one = Context.open(first, home, spark)
    prepare(one, DAYS, lambda _: None)
    before = {table: one.warehouse.version(table) for table in (EVENTS, SALES)}
    assert computed == [["clicked"], ["amount"]]

    two = Context.open(second, home, spark)
    prepare(two, DAYS, lambda _: None)
    assert {table: two.warehouse.version(table) for table in before} == before, "ingested once"
    assert computed[2:] == [["price"]], "what the other counted alike is there"

    for context in (one, two):
        own = Home.of(Path(home.root, "alone", context.definition.name))
        alone = Context.open(context.definition, own, spark)
        prepare(alone, DAYS, lambda _: None)
        for day in DAYS:
            assert features_of(alone, day) == features_of(context, day)

    del computed[:]
    for context in (Context.open(first, home, spark), Context.open(second, home, spark)):
        assert prepare(context, DAYS, lambda _: None).written == 0
    assert computed == [], "neither takes from the tables what the other needs"


def night(context: Context, day: date) -> Work:
    work = Work(context=context, asked=Asked(raises=True), left=[day])
    carry_out(work, PREPARATION, Stopwatch(lambda *_: None))
    return work


@pytest.mark.slow
def test_a_night_takes_in_the_days_of_other_streams_that_are_new_and_no_older_ones(
    spark: SparkSession, home: Home
) -> None:
    stream = sales_stream(daily_sales(5))
    context = Context.open(shop(impressions(), stream), home, spark)
    prepare(Context.open(toy_definition(impressions()), home, spark), DAYS[:4], lambda _: None)
    with pytest.raises(PartitionNotReady, match=r"sales/events: missing .* were never ingested"):
        night(context, DAYS[4])
    assert context.warehouse.version(SALES) is None, "nothing was done"
    prepare(context, DAYS[3:4], lambda _: None)
    night(context, DAYS[4])
    assert bought(context, DAYS[4]) == (25.0, 2.0, 36.0, 3.0)
    night(context, DAYS[5])
    assert bought(context, DAYS[5]) == (27.0, 2.0, 39.0, 3.0)
    longer = Context.open(shop(impressions(8), stream), home, spark)
    # Of day 5 there are no sales: the night of day 6 cannot count them, that of day 5 need not.
    with pytest.raises(SourceDayMissing, match="sales: source has no rows for ds=2026-01-06"):
        night(longer, toy_days(7)[6])


@pytest.mark.slow
def test_a_day_delivered_again_makes_exactly_the_days_stale_whose_windows_read_it(
    spark: SparkSession, home: Home
) -> None:
    rows, sales = impressions(), daily_sales()
    first = Context.open(shop(rows, sales_stream(sales)), home, spark)
    prepare(first, DAYS, lambda _: None)
    sales[1] = replace(sales[1], amount=99.0)
    context = Context.open(shop(rows, sales_stream(sales)), home, spark)
    with context.warehouse.held():
        fresh = Freshness(context)
        fresh.look(DAYS)
        found = {day: fresh.features(day) for day in DAYS}
    assert [found[day].status for day in DAYS] == ["fresh"] * 2 + ["stale"] * 3 + ["fresh"]
    assert f"{SALES} {DAYS[1]}" in found[DAYS[2]].reasons[0]
    assert prepare(context, DAYS, lambda _: None).written == 3
    assert bought(context, DAYS[2]) == (109.0, 2.0, 109.0, 2.0)


@pytest.mark.slow
def test_a_rule_of_a_streams_column_is_the_streams_own(spark: SparkSession, home: Home) -> None:
    rows = impressions()
    stream = sales_stream([*daily_sales(), Sale(day=2, number=50, buyer="a", amount=-1.0)])
    amount = replace(stream.column("amount"), minimum=0.0)
    columns = tuple(amount if c.name == "amount" else c for c in stream.columns)
    strict = replace(stream, columns=columns, max_bad_share=0.5)
    context = Context.open(changed(shop(rows, strict), max_bad_share=0.0), home, spark)
    prepare(context, DAYS, lambda _: None)
    quarantine = context.warehouse.read(stream_table("sales", "quarantine")).collect()
    assert [(row["ds"], row["reason"]) for row in quarantine] == [(DAYS[2], "range(amount)")]
    assert bought(context, DAYS[3])[0] == 23.0
    assert context.warehouse.version(TILES) is not None
