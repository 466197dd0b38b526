"""What is scored where the days before tell it: against rows counted one by one."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import (
    Active,
    Categorical,
    Definition,
    Lookup,
    Numeric,
    Product,
    Spine,
    Stream,
    Top,
)
from feature_store.errors import NothingKnown, SpineTooLarge
from feature_store.home import Home
from feature_store.schema import FEATURES, stream_table
from jobs.backfill.freshness import Freshness
from jobs.context import Context
from jobs.night.night import NightRequest, run_night
from jobs.night.prepare import prepare
from jobs.night.reach import source_days
from jobs.night.spine_rows import spine_rows
from jobs.registry import model_registry
from jobs.report.facts import labelled_metrics
from jobs.training.outcomes import bring_outcomes
from jobs.training.train import train
from tests.sales import BUYERS, Sale, sales_stream, some_sales, standing
from tests.spark.test_outcomes import by_hand
from tests.toy import Prices, Row, clicky_definition, price_stream, toy_days, toy_definition
from tests.unit.test_spines import BUYS, reorder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = toy_days(9)
ITEMS = "xyz"


def clicks_of(days: int) -> list[Row]:
    rng = random.Random(3)
    return [
        Row(day=d, user=u, item=i, clicked=rng.random() < 0.3, click_known=rng.choice([20.0, 40.0]))
        for d in range(days)
        for u in BUYERS[:3]
        for i in ITEMS
    ]


def spine_of(sales: Stream, rows: Sequence[Row], **changes: Any) -> Product:
    stream = toy_definition(rows).stream
    assert stream is not None
    buyers = Active(stream=sales, keys=("buyer",), known="told", days=3, where="amount > 0")
    items = Top(stream=stream, keys=("item",), known="click", days=4, n=2, by="clicked")
    return replace(Product(left=buyers, right=items), **changes)


def pipeline(spine: Spine, sales: Stream, **changes: Any) -> Definition:
    bought = replace(reorder().histories[0], stream=sales, aggregates=("sum", "count"))
    changes = {"labels": (replace(BUYS, stream=sales),), "histories": (bought,), **changes}
    return reorder(spine, **changes)


def scored(context: Context, day: date) -> set[tuple[str, ...]]:
    keys = context.definition.keys
    rows = context.warehouse.read(FEATURES, [day]).select(*keys).collect()
    found = [tuple(row) for row in rows]
    assert len(set(found)) == len(found)
    return set(found)


def active_by_hand(sales: Sequence[Sale], day: int, *, days: int, at_least: int) -> set[str]:
    counted = Counter(
        s.buyer for s in standing(sales, 24 * day) if s.amount > 0 and day - days <= s.day < day
    )
    return {buyer for buyer, n in counted.items() if n >= at_least}


def top_by_hand(rows: Sequence[Row], day: int, *, days: int, n: int) -> set[str]:
    counted = Counter(
        r.item
        for r in rows
        if r.clicked and day - days <= r.day < day and 24 * r.day + r.click_known < 24 * day
    )
    return set(sorted(counted, key=lambda item: (-counted[item], item))[:n])


@pytest.mark.slow
def test_pairs_are_those_that_were_told_of_in_time(spark: SparkSession, home: Home) -> None:
    sales, rows = some_sales(8, a_day=6), clicks_of(8)
    stream = sales_stream(sales)
    spine = spine_of(stream, rows)
    spine = replace(spine, left=replace(spine.left, at_least=2))
    context = Context.open(pipeline(spine, stream), home, spark)
    prepare(context, DAYS[6:], lambda _: None)
    wanted = {
        day: {
            (buyer, item)
            for buyer in active_by_hand(sales, day, days=3, at_least=2)
            for item in top_by_hand(rows, day, days=4, n=2)
        }
        for day in range(6, 9)
    }
    assert {day: scored(context, DAYS[day]) for day in wanted} == wanted
    assert len({len(pairs) for pairs in wanted.values()}) > 1, "or nothing is tried"
    later = toy_days(10)[9]
    counted = {day: spine_rows(context, day) for day in (DAYS[7], later)}
    assert counted == {DAYS[7]: len(wanted[7]), later: None}
    alone = Context.open(context.definition, Home.of(Path(home.root, "alone")), spark)
    assert spine_rows(alone, DAYS[6]) is None, "nothing is told yet"
    prepare(alone, DAYS[6:7], lambda _: None)
    names = ["buyer", "item", "bought_sum_3d", "bought_count_3d"]
    found = [
        c.warehouse.read(FEATURES, [DAYS[6]]).select(*names).orderBy(*names).collect()
        for c in (alone, context)
    ]
    assert found[0] == found[1]
    for row in found[0]:
        told = [s for s in sales if s.buyer == row["buyer"]]
        assert row["bought_count_3d"] >= 1, (row, told)


@pytest.mark.slow
def test_one_side_alone_and_a_condition_on_both(spark: SparkSession, home: Home) -> None:
    rows = clicks_of(5)
    stream = sales_stream([Sale(day=d, number=0, buyer="x", amount=5.0) for d in range(5)])
    spine = spine_of(stream, rows)
    for name, own, wanted in (
        ("active", spine.left, {("x",)}),
        ("top", replace(spine.right, n=1), {(next(iter(top_by_hand(rows, 4, days=4, n=1))),)}),
        ("all", replace(spine, right=replace(spine.right, n=9)), {("x", i) for i in "xyz"}),
        (
            "unequal",
            replace(spine, right=replace(spine.right, n=9), where="buyer <> item"),
            {("x", "y"), ("x", "z")},
        ),
    ):
        lone = {} if "buyer" in own.keys else {"histories": ()}
        label = {} if lone == {} else {"labels": (replace(BUYS, stream=stream, on=("item",)),)}
        definition = pipeline(own, stream, name=name, **lone, **label)
        context = Context.open(definition, home, spark)
        prepare(context, [DAYS[4]], lambda _: None)
        assert scored(context, DAYS[4]) == wanted, name


@pytest.mark.slow
def test_an_entity_looks_up_what_was_last_known_before_the_cutoff(
    spark: SparkSession, home: Home
) -> None:
    # (item, day, hour of the price, hour it became known, price), of the item that is on top.
    prices = (
        ("x", 1, 20.0, 20.0, 1.0),  # too old for day 4
        ("x", 2, 6.0, 7.0, 2.0),
        ("x", 3, 8.0, 9.0, 3.0),
        ("x", 3, 20.0, 24.0, 4.0),  # known at the cut-off of day 4
        ("x", 4, 0.0, -2.0, 5.0),  # known before, and of a time that is not
    )
    rows = [replace(row, clicked=row.item == "x", click_known=20.0) for row in clicks_of(6)]
    lookup = Lookup(
        name="prices", stream=price_stream(Prices(prices)), keys=("item",), max_age_hours=46,
        columns=("list_price",),
    )  # fmt: skip
    stream = sales_stream(some_sales(6))
    top = spine_of(stream, rows).right
    definition = pipeline(
        replace(top, n=1), stream, histories=(), lookups=(lookup,),
        labels=(replace(BUYS, stream=stream, on=("item",)),),
        features=(
            Categorical(name="item", column="item"),
            Numeric(name="list_price", column="prices.list_price"),
        ),
    )  # fmt: skip
    context = Context.open(definition, home, spark)
    prepare(context, DAYS[3:6], lambda _: None)
    found = context.warehouse.read(FEATURES).orderBy("ds").collect()
    assert [row["list_price"] for row in found] == [2.0, 3.0, 5.0]
    with context.warehouse.held():
        fresh = Freshness(context)
        fresh.look(DAYS[3:6])
        assert {fresh.features(day).status for day in DAYS[3:6]} == {"fresh"}
        assert source_days(context, DAYS[4]) >= {(stream_table("prices", "events"), DAYS[2])}


@pytest.mark.slow
def test_entities_of_several_keys_have_their_types(spark: SparkSession, home: Home) -> None:
    sales = [Sale(day=d, number=d % 2, buyer=BUYERS[d], amount=5.0) for d in range(4)]
    stream = sales_stream(sales)
    spine = Active(stream=stream, keys=("number", "buyer"), known="told", days=9)
    context = Context.open(pipeline(spine, stream), home, spark)
    prepare(context, [DAYS[4]], lambda _: None)
    assert scored(context, DAYS[4]) == {(0, "a"), (1, "b"), (0, "c"), (1, "d")}
    types = dict(context.warehouse.read(FEATURES, [DAYS[4]]).dtypes)
    assert (types["number"], types["buyer"]) == ("int", "string")


def test_more_pairs_than_allowed_are_refused_with_the_numbers(
    spark: SparkSession, home: Home
) -> None:
    sales, rows = some_sales(6), clicks_of(6)
    stream = sales_stream(sales)
    spine = spine_of(stream, rows, max_rows=1)
    context = Context.open(pipeline(spine, stream), home, spark)
    with pytest.raises(
        SpineTooLarge, match=r"ds=2026-01-06: \d x 2 = \d+ pairs.*max_rows=1 of the spine"
    ):
        prepare(context, DAYS[5:6], lambda _: None)
    assert context.warehouse.version(FEATURES) is None


def test_a_day_of_which_nothing_was_told_has_nothing_to_score_and_says_so(
    spark: SparkSession, home: Home
) -> None:
    stream = sales_stream(some_sales(6))
    context = Context.open(pipeline(spine_of(stream, clicks_of(6)), stream), home, spark)
    with pytest.raises(NothingKnown, match=r"no entity of the spine was told of in time.*sales"):
        prepare(context, DAYS[:1], lambda _: None)


@pytest.mark.slow
def test_pairs_are_learned_scored_and_judged(spark: SparkSession, home: Home) -> None:
    days = toy_days(12)
    sales = [
        Sale(day=d, number=n, buyer=buyer, amount=5.0)
        for d in range(13)
        for n, buyer in enumerate(("a", "bcd"[d // 2 % 3]))
    ]
    stream = sales_stream(sales)
    lenient = clicky_definition(())
    spine = spine_of(stream, clicks_of(11))
    definition = pipeline(spine, stream, training=lenient.training, gate=lenient.gate)
    context = Context.open(definition, home, spark)
    result = train(context, days[3], days[8], days[10], compiled=False, on_progress=lambda _: None)
    assert result.promoted
    assert result.training_set.splits["eval"].labels["buys"].positives == sum(
        by_hand(sales, day, buyer, within=2, settle=0, hours=0)
        for day in (9, 10)
        for buyer, _ in scored(context, days[day])
    )
    model = model_registry.champion(context.home, definition.name)
    night = run_night(context, NightRequest(ds=days[11], model=model, who="test"), lambda *_: None)
    assert night.rows == len(scored(context, days[11])) > 1
    bring_outcomes(context, [days[11]], lambda _: None)
    assert labelled_metrics(context, days[11])["buys"]["rows"] == night.rows
    with context.warehouse.held():
        fresh = Freshness(context)
        fresh.look(days[11:])
        assert fresh.features(days[11]).status == "fresh"
