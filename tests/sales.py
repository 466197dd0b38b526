"""A stream of sales, small enough to reason about by hand; its source is a tuple of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from feature_store.definition import Column, Known, Stream
from feature_store.errors import SourceDayMissing
from tests.delivered import at
from tests.toy import FIRST_DAY

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


BUYERS = "abcdef"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sale:
    """A sale at an hour of a day, told `known` hours after the midnight that begins it."""

    day: int
    number: int
    buyer: str
    amount: float
    known: float = 13.0
    hour: float = 12.0


@dataclass(frozen=True, slots=True)
class Sales:
    """A source of sales, held in memory."""

    sales: tuple[Sale, ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest of the day's sales."""
        own = [sale for sale in self.sales if FIRST_DAY + timedelta(days=sale.day) == day]
        if not own:
            raise SourceDayMissing("sales", day, "no such sales", "Add some")
        return hashlib.sha256(repr(own).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        rows = []
        for sale in self.sales:
            ds = FIRST_DAY + timedelta(days=sale.day)
            if ds in set(days):
                times = at(ds, sale.hour), at(ds, sale.known)
                rows.append((ds, sale.number, sale.buyer, sale.amount, *times))
        schema = "ds date, number int, buyer string, amount double, sold_at timestamp, "
        return spark.createDataFrame(rows, f"{schema}known_at timestamp")


def sales_stream(sales: Sequence[Sale], **changes: Any) -> Stream:
    """Return a stream of sales."""
    columns = (
        Column(name="number", dtype="int", known="told"),
        Column(name="buyer", dtype="string", known="told"),
        Column(name="amount", dtype="double", known="told"),
        Column(name="sold_at", dtype="timestamp", known="told"),
        Column(name="known_at", dtype="timestamp", known="told"),
    )
    stream = Stream(
        name="sales",
        source=Sales(tuple(sales)),
        keys=("number",),
        event_time="sold_at",
        knowns=(Known(name="told", at="known_at"),),
        columns=columns,
        first_day=FIRST_DAY,
    )
    return replace(stream, **changes)


def standing(sales: Sequence[Sale], hours: float) -> list[Sale]:
    """Return what is told of each sale before an instant, in hours after FIRST_DAY begins."""
    found: dict[tuple[int, int], Sale] = {}
    for sale in sales:
        before = found.get((sale.day, sale.number))
        if 24 * sale.day + sale.known < hours and (before is None or before.known < sale.known):
            found[sale.day, sale.number] = sale
    return list(found.values())


def some_sales(days: int, a_day: int = 3, seed: int = 5) -> list[Sale]:
    """Return sales of which some are told late and some, of a number again, are corrected."""
    rng, found = random.Random(seed), []
    for day in range(days):
        for number in range(a_day):
            first = Sale(
                day=day, number=number, buyer=rng.choice(BUYERS), amount=rng.choice([0.0, 5.0]),
                known=rng.choice([1.0, 13.0, 30.0, 55.0]),
            )  # fmt: skip
            found.append(first)
            if rng.random() < 0.4:
                later = first.known + rng.choice([1.0, 20.0, 50.0])
                amount, buyer = rng.choice([0.0, 5.0]), rng.choice(BUYERS)
                found.append(replace(first, amount=amount, buyer=buyer, known=later))
    return found
