"""A day's features are what was known before its cut-off, however and whenever they are made."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.definition import Lookup, Numeric
from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.context import Context
from jobs.night.prepare import prepare
from tests.spark.test_side_tables import Dated
from tests.spark.test_versions import Bid, bid_definition
from tests.toy import FIRST_DAY, price_stream, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

LAST = 3
DAYS = toy_days(LAST + 1)
ITEMS = ("x", "y")
# Awkward as sums and as parts of a second; the cut-off itself, and a microsecond beside it.
NUMBERS = st.sampled_from([0.1, 0.2, -0.3, 1e-7, 1e13, 3.0, -0.0])
HOURS = st.sampled_from([-2.0, -1 / 3.6e9, 0.0, 3.0, 24.0, 30.0, 47.5, 72.0])
Price = tuple[str, int, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing to score, and the version of it that is delivered later, if one is."""

    first: Bid
    corrected: Bid | None
    delivered: int
    """The day of the second delivery; LAST + 1 is after all nights."""

    def told(self, day: int) -> list[Bid]:
        """Return what the source holds of it when a day is made: the newest delivery alone."""
        is_late = self.corrected is None or day < self.delivered
        return [self.first if is_late or self.corrected is None else self.corrected]

    def versions(self) -> list[Bid]:
        """Return all that was ever delivered of it."""
        return [self.first, *([self.corrected] if self.corrected else [])]


@st.composite
def things(draw: st.DrawFn) -> list[Thing]:
    """Return some things of each day, the first of them known in time."""
    found = []
    for day in range(LAST + 1):
        for number in range(draw(st.integers(1, 3))):
            first = Bid(
                day=day, user=f"u{number}", item=draw(st.sampled_from(ITEMS)), price=draw(NUMBERS),
                planned=-6.0 if number == 0 else draw(st.sampled_from([-6.0, 0.0, 5.0])),
                clicked=draw(st.booleans()), click_known=draw(st.sampled_from([20.0, 24.0, 50.0])),
                bid=draw(NUMBERS), bid_known=-4.0,
            )  # fmt: skip
            first = replace(first, price=abs(first.price or 0.0))
            corrected = replace(first, bid=draw(NUMBERS), bid_known=draw(HOURS))
            delivered = draw(st.integers(day + 1, LAST + 1))
            is_corrected = draw(st.booleans())
            found.append(
                Thing(first=first, corrected=corrected if is_corrected else None,
                      delivered=delivered)
            )  # fmt: skip
    return found


@st.composite
def prices(draw: st.DrawFn) -> list[Price]:
    """Return rows of the side table: one of each item and day known in time, and others."""
    found = []
    for day in range(-1, LAST + 2):
        found += [(item, day, 11.0, -2.0, draw(NUMBERS)) for item in ITEMS]
        for item in draw(st.lists(st.sampled_from(ITEMS), max_size=2, unique=True)):
            hour = draw(st.sampled_from([0.0, 11.5, 12.0, 18.0]))
            found.append((item, day, hour, draw(HOURS), draw(NUMBERS)))
    return found


def definition_of(rows: Sequence[Bid], listed: Sequence[Price]) -> Definition:
    """Return a pipeline with its own columns, two histories and a side table."""
    lookup = Lookup(
        name="prices", stream=price_stream(Dated(tuple(listed))), keys=("item",),
        columns=("list_price",), at="happened_at", max_age_hours=24,
    )  # fmt: skip
    bids = bid_definition(rows)
    listed_price = Numeric(name="list_price", column="prices.list_price")
    return replace(bids, lookups=(lookup,), features=(*bids.features, listed_price))


def features(context: Context, days: Sequence[int]) -> dict[int, list[str]]:
    """Return the features of days to the bit, each row as text, in no order of its own."""
    rows = context.warehouse.read(FEATURES, [DAYS[day] for day in days]).collect()
    return {
        day: sorted(repr(row) for row in rows if row.ds == FIRST_DAY + timedelta(days=day))
        for day in days
    }


def make(context: Context, *days: int) -> None:
    prepare(context, [DAYS[day] for day in days], lambda _: None)


def changed(thing: Thing, cutoff: float) -> Iterator[Bid]:
    """Yield the versions of a thing, all that was not known by then changed; hours from day 0."""
    for version in thing.versions():
        hours, now = cutoff - 24 * version.day, version
        if now.planned >= hours:
            now = replace(now, price=7.0)
        if now.click_known >= hours:
            now = replace(now, clicked=not now.clicked)
        if now.bid_known is not None and now.bid_known >= hours:
            now = replace(now, bid=70.0)
        yield now


HOMES = itertools.count()


@pytest.mark.slow
@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(told=things(), listed=prices(), seen=st.integers(1, LAST))
def test_a_day_is_the_same_alone_and_among_others_and_sees_nothing_known_later(
    spark: SparkSession, home: Home, told: list[Thing], listed: list[Price], seen: int
) -> None:
    every = [version for thing in told for version in thing.versions()]

    def opened(name: str, rows: Sequence[Bid], listed: Sequence[Price] = listed) -> Context:
        place = Home.of(f"{home.root}-{number}-{name}")
        return Context.open(definition_of(rows, listed), place, spark)

    number, all_days = next(HOMES), range(LAST + 1)
    at_once = opened("once", every)
    make(at_once, *all_days)
    wanted = features(at_once, all_days)

    # Night by night, of what had been delivered by then; and again when all is there.
    for day in all_days:
        make(opened("alone", [row for thing in told for row in thing.told(day)]), day)
    last = opened("alone", [row for thing in told for row in thing.told(LAST + 1)])
    for day in all_days:
        make(last, day)
    assert features(last, all_days) == wanted

    cutoff = 24.0 * seen
    rows = [row for thing in told for row in changed(thing, cutoff)]
    news = replace(told[0].first, user="new", planned=cutoff, bid_known=cutoff, click_known=cutoff)
    rows.append(news)
    later = [(*row[:4], 70.0 if row[3] + 24 * row[1] >= cutoff else row[4]) for row in listed]
    other = opened("changed", rows, later)
    make(other, seen)
    assert features(other, [seen])[seen] == wanted[seen]
