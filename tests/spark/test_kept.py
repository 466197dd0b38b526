"""Histories that no sum tells, and spreads: against sales looked at one by one."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Aggregate, History
from feature_store.features.features import build_features
from feature_store.home import Home
from feature_store.schema import FEATURES, TILES, stream_table
from jobs.context import Context
from jobs.night.prepare import prepare
from tests.sales import BUYERS, Sale, sales_stream, some_sales, standing
from tests.toy import Row, toy_days, toy_definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

WINDOWS = (5, 2)
DAYS = 9
OF_NUMBERS: tuple[Aggregate, ...] = (
    "min", "max", "first", "last", "distinct", "stddev", "count",
)  # fmt: skip


def varied(sales: Sequence[Sale]) -> list[Sale]:
    """Return the sales at hours and of amounts of which some are alike."""
    return [
        replace(sale, hour=12.0 + sale.number // 2, amount=float(7 * sale.number % 4 - sale.amount))
        for sale in sales
    ]


def histories(sales: Sequence[Sale]) -> tuple[History, ...]:
    stream = sales_stream(sales)
    amounts = History(
        name="amounts", stream=stream, keys=("buyer",), on=("user",), value="amount",
        known="told", windows=WINDOWS, aggregates=OF_NUMBERS,
    )  # fmt: skip
    # Alike but for its window, and so of the same tiles; and of text, of which nothing is computed.
    high = replace(amounts, name="high", windows=(4,), aggregates=("max",))
    tickets = replace(
        amounts, name="tickets", value="concat(buyer, cast(number % 2 AS string))", windows=(3,),
        where="amount > 0", aggregates=("distinct",),
    )  # fmt: skip
    return amounts, high, tickets


def by_hand(sales: Sequence[Sale], day: int, buyer: str) -> dict[str, float | None]:
    """Return every feature of a buyer on a day."""
    known = [sale for sale in standing(sales, 24 * day) if sale.buyer == buyer]
    found: dict[str, float | None] = {}
    for window in (*WINDOWS, 4, 3):
        own = [sale for sale in known if day - window <= sale.day < day]
        amounts = [sale.amount for sale in own]
        timed = sorted((sale.day, sale.hour, sale.amount) for sale in own)
        found[f"amounts_min_{window}d"] = min(amounts, default=None)
        found[f"amounts_max_{window}d"] = max(amounts, default=None)
        found[f"high_max_{window}d"] = max(amounts, default=None)
        found[f"amounts_first_{window}d"] = timed[0][2] if timed else None
        found[f"amounts_last_{window}d"] = timed[-1][2] if timed else None
        found[f"amounts_distinct_{window}d"] = float(len(set(amounts)))
        spread = statistics.stdev(amounts) if len(amounts) > 1 else None
        found[f"amounts_stddev_{window}d"] = spread
        found[f"amounts_count_{window}d"] = float(len(amounts))
        counting = {sale.number % 2 for sale in own if sale.amount > 0}
        found[f"tickets_distinct_{window}d"] = float(len(counting))
    return found


def near(value: float | None) -> object:
    """Return what is equal to a value but for its last digits."""
    return value if value is None else pytest.approx(value, rel=1e-12)


def shop(sales: Sequence[Sale]) -> Definition:
    rows = [Row(day=day, user=user, item="x") for day in range(DAYS) for user in BUYERS]
    toy = toy_definition(rows)
    return replace(toy, histories=(*toy.histories, *histories(sales)))


def test_values_are_those_that_stand_at_the_cut_off(spark: SparkSession, home: Home) -> None:
    sales = varied(some_sales(8, a_day=5))
    definition = shop(sales)
    context = Context.open(definition, home, spark)
    days = toy_days(DAYS)
    prepare(context, days, lambda _: None)
    names = [name for h in definition.histories[1:] for name, _, _ in h.columns()]
    found = {
        ((row["ds"] - days[0]).days, row["user"]): {name: row[name] for name in names}
        for row in context.warehouse.read(FEATURES).collect()
    }
    assert len(found) == DAYS * len(BUYERS)
    seen: set[float | None] = set()
    for (day, buyer), values in found.items():
        wanted = by_hand(sales, day, buyer)
        assert values == {name: near(wanted[name]) for name in names}
        seen |= {values["amounts_first_5d"], values["amounts_max_2d"], values["amounts_stddev_5d"]}
    assert None in seen
    assert len(seen) > 6

    # Each day by itself gives what all gave together.
    tables = [stream_table(stream.name, TILES) for stream in definition.streams]
    tiles = context.warehouse.read(tables[0]).unionByName(
        context.warehouse.read(tables[1]), allowMissingColumns=True
    )
    one = build_features(
        context.warehouse.read(context.events, [days[6]]), tiles, {}, definition, [days[6]]
    )
    assert {(6, row["user"]): {n: row[n] for n in names} for row in one.collect()} == {
        (day, buyer): values for (day, buyer), values in found.items() if day == 6
    }


@pytest.mark.slow
def test_a_day_without_corrections_keeps_a_row_for_its_least_and_largest_value(
    spark: SparkSession, home: Home
) -> None:
    told = [
        Sale(day=day, number=number, buyer="a", amount=float(number))
        for day in range(2)
        for number in range(9)
    ]
    told += [
        replace(told[-1], amount=-1.0, known=40.0),
        Sale(day=2, number=0, buyer="b", amount=1.0),
    ]
    (_, largest, _) = histories(told)
    definition = replace(shop(told), histories=(replace(largest, windows=(2,)),))
    context = Context.open(definition, home, spark)
    days = toy_days(4)
    prepare(context, days, lambda _: None)
    stored = context.warehouse.read(stream_table("sales", TILES))
    of_day = {row["ds"]: row["count"] for row in stored.groupBy("ds").count().collect()}
    # Of the second day each of nine values, and then, by itself, what stands for one of them.
    assert of_day == {days[0]: 1, days[1]: 11, days[2]: 1}
    features = context.warehouse.read(FEATURES).where("user = 'a'").orderBy("ds")
    assert [row["high_max_2d"] for row in features.collect()] == [None, 8.0, 8.0, 7.0]
