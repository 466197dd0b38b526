"""Histories of the rows that count, and the days since the last: against sales one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import History
from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.context import Context
from jobs.night.prepare import prepare
from tests.sales import BUYERS, Sale, sales_stream, some_sales, standing
from tests.toy import Row, toy_days, toy_definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

WINDOWS = (2, 4)
DAYS = 9


def by_hand(sales: Sequence[Sale], day: int, buyer: str, window: int) -> tuple[float | None, ...]:
    """Return count, sum and days since the last, of the sales that count."""
    own = [
        sale
        for sale in standing(sales, 24 * day)
        if sale.buyer == buyer and sale.amount > 0 and day - window <= sale.day < day
    ]
    last = float(day - max(sale.day for sale in own)) if own else None
    return float(len(own)), sum(sale.amount for sale in own) if own else None, last


@pytest.mark.slow
def test_only_rows_that_count_have_a_value_and_make_a_day_the_last(
    spark: SparkSession, home: Home
) -> None:
    sales = [replace(sale, amount=sale.amount + sale.number) for sale in some_sales(8)]
    sales = [replace(sale, amount=0.0) if sale.amount < 5 else sale for sale in sales]
    bought = History(
        name="bought", stream=sales_stream(sales), keys=("buyer",), on=("user",), value="amount",
        where="amount > 0", known="told", windows=WINDOWS,
        aggregates=("count", "sum", "days_since_last"),
    )  # fmt: skip
    rows = [Row(day=day, user=user, item="x") for day in range(DAYS) for user in BUYERS]
    toy = toy_definition(rows)
    definition = replace(toy, histories=(*toy.histories, bought))
    context = Context.open(definition, home, spark)
    days = toy_days(DAYS)
    prepare(context, days, lambda _: None)
    names = [name for name, _, _ in bought.columns()]
    found = {
        ((row["ds"] - days[0]).days, row["user"]): tuple(row[name] for name in names)
        for row in context.warehouse.read(FEATURES).collect()
    }
    wanted = {
        (day, buyer): sum((by_hand(sales, day, buyer, w) for w in WINDOWS), ())
        for day in range(DAYS)
        for buyer in BUYERS
    }
    assert found == wanted
    lasts = {value[2] for value in wanted.values()}
    assert lasts == {None, 1.0, 2.0}
