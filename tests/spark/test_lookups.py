"""Lookups in streams: corrected, ended, one asked by another, and shared by pipelines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Categorical, Column, Definition, Known, Lookup, Numeric, Stream
from feature_store.errors import SourceDayMissing
from feature_store.schema import EVENTS, FEATURES, QUARANTINE, stream_table
from jobs.backfill.freshness import Freshness
from jobs.context import Context
from jobs.night.build_features import build_day_features
from jobs.night.prepare import prepare
from tests.delivered import at
from tests.taken_in import ingest
from tests.toy import FIRST_DAY, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.home import Home

DAYS = toy_days(7)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """What is told of an item on a day: hours are counted from the midnight that begins it."""

    day: int
    item: str
    shelf: str
    price: float | None = 1.0
    hour: float = 6.0
    known: float = 7.0
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class Signs:
    """A source of what is told of items, held in memory."""

    signs: tuple[Sign, ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest of what the day tells."""
        own = [sign for sign in self.signs if FIRST_DAY + timedelta(days=sign.day) == day]
        if not own:
            raise SourceDayMissing("signs", day, "nothing is told", "Tell something")
        return hashlib.sha256(repr(own).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        rows = []
        for one in self.signs:
            ds = FIRST_DAY + timedelta(days=one.day)
            if ds in set(days):
                ends = None if one.ends is None else at(ds, one.ends)
                told = one.item, one.shelf, one.price
                rows.append((ds, *told, at(ds, one.hour), at(ds, one.known), ends))
        schema = "ds date, item string, shelf string, price double, since timestamp, "
        return spark.createDataFrame(rows, f"{schema}told_at timestamp, ends timestamp")


def stream_of(signs: Sequence[Sign], name: str = "signs", **changes: Any) -> Stream:
    """Return the stream of what is told of items."""
    stream = Stream(
        name=name,
        source=Signs(tuple(signs)),
        kind="changes",
        keys=("item",),
        event_time="since",
        knowns=(Known(name="told", at="told_at"),),
        columns=(
            Column(name="item", dtype="string", known="told", nullable=False),
            Column(name="shelf", dtype="string", known="told"),
            Column(name="price", dtype="double", known="told", minimum=0),
            Column(name="since", dtype="timestamp", known="told", nullable=False),
            Column(name="told_at", dtype="timestamp", known="told", nullable=False),
            Column(name="ends", dtype="timestamp", known="told"),
        ),
        first_day=FIRST_DAY,
        max_bad_share=0.5,
    )
    return replace(stream, **changes)


def pipeline(
    signs: Sequence[Sign], days: Sequence[int], *more: Lookup, name: str = "toy", **changes: Any
) -> Definition:
    """Return the toy pipeline, an impression of item x a day at noon, which looks up what is told.

    Features: `shelf` and `listed` of the item, and whatever the other lookups tell.
    """
    rows = [Row(day=day, user="u", item="x") for day in days]
    toy = toy_definition(rows, histories=())
    lookup = Lookup(
        name="sign", stream=stream_of(signs), columns=("shelf", "price"), at="happened_at",
        max_age_hours=60, due_hours=48,
    )  # fmt: skip
    of_more = [
        Numeric(name=c.replace(".", "_"), column=c)
        for other in more
        for c in other.taken_columns
        if other.stream.types[c.partition(".")[2]] == "double"
    ]
    features = (
        *toy.features,
        Categorical(name="shelf", column="sign.shelf"),
        Numeric(name="listed", column="sign.price"),
        *of_more,
    )
    made = changed(toy, lookups=(replace(lookup, **changes), *more), features=features)
    return replace(made, name=name)


def found(context: Context, days: Sequence[int], *names: str) -> list[tuple[Any, ...]]:
    """Return features of days, brought up to date one day at a time, in the order of days."""
    for day in days:
        ingest(context, [DAYS[day]])
        build_day_features(context, [DAYS[day]])
    rows = context.warehouse.read(FEATURES, [DAYS[day] for day in days]).orderBy("ds").collect()
    return [tuple(row[name] for name in names) for row in rows]


def written(context: Context) -> dict[date, int]:
    """Return the version that last wrote each day of features."""
    return {day: c.version for (_, day, _), c in context.warehouse.commits(FEATURES).items()}


@pytest.mark.slow
def test_a_corrected_row_is_what_it_was_known_as_and_moves_with_its_time(
    spark: SparkSession, home: Home
) -> None:
    signs = [
        Sign(day=0, item="x", shelf="a", price=1.0, hour=20.0, known=20.0),
        # Corrected in the afternoon of day 1: it was earlier than was thought, and dearer.
        Sign(day=0, item="x", shelf="a", price=2.0, hour=2.0, known=40.0),
        Sign(day=1, item="x", shelf="b", price=3.0, hour=6.0, known=7.0),
        # Of equal times the one known latest is what it is.
        Sign(day=1, item="x", shelf="c", price=4.0, hour=6.0, known=45.0),
    ]
    alone = Context.open(pipeline(signs, (1, 2, 3)), home, spark)
    expected = [("a", 1.0), ("b", 3.0), ("c", 4.0)]
    assert found(alone, (1, 2, 3), "shelf", "listed") == expected
    other = Context.open(pipeline(signs, (1, 2, 3)), type(home)(f"{home.root}-2"), spark)
    ingest(other, DAYS[1:4])
    build_day_features(other, DAYS[1:4])
    rows = other.warehouse.read(FEATURES).orderBy("ds").collect()
    assert [(row["shelf"], row["listed"]) for row in rows] == expected


@pytest.mark.slow
def test_what_has_ended_is_passed_over(spark: SparkSession, home: Home) -> None:
    signs = [
        Sign(day=0, item="x", shelf="a"),
        Sign(day=1, item="x", shelf="coupon", ends=36.0),  # noon of day 2
    ]
    context = Context.open(pipeline(signs, (2, 3), valid_until="ends"), home, spark)
    # At noon itself it has ended; the row before it is two days and six hours old.
    assert found(context, (2,), "shelf") == [("a",)]
    longer = [signs[0], replace(signs[1], ends=36.1)]
    other = Context.open(
        pipeline(longer, (2, 3), valid_until="ends"), type(home)(f"{home.root}-2"), spark
    )
    assert found(other, (2, 3), "shelf") == [("coupon",), (None,)]


@pytest.mark.slow
def test_one_lookup_is_asked_by_what_another_tells(spark: SparkSession, home: Home) -> None:
    signs = [Sign(day=0, item="x", shelf="a"), Sign(day=1, item="x", shelf="b")]
    shelves = [
        Sign(day=0, item="a", shelf="hall", price=10.0),
        Sign(day=0, item="b", shelf="yard", price=20.0),
        # Told a day late: of day 1 nobody knew it before the cut-off of day 2.
        Sign(day=1, item="b", shelf="hall", price=21.0, known=30.0),
    ]
    shelf = Lookup(
        name="place", stream=stream_of(shelves, "shelves"), on=("sign.shelf",),
        columns=("price",), at="happened_at", max_age_hours=96, due_hours=48,
    )  # fmt: skip
    context = Context.open(pipeline(signs, (1, 2, 3), shelf), home, spark)
    wanted = [("a", 10.0), ("b", 20.0), ("b", 21.0)]
    assert found(context, (1, 2, 3), "shelf", "place_price") == wanted


@pytest.mark.slow
def test_what_two_pipelines_look_up_is_ingested_once_and_a_correction_makes_readers_stale(
    spark: SparkSession, home: Home
) -> None:
    signs = [Sign(day=day, item="x", shelf=f"s{day}", price=float(day)) for day in range(4)]
    signs.append(Sign(day=1, item="y", shelf="s1", price=-1.0))
    context = Context.open(pipeline(signs, (2, 3, 4)), home, spark)
    prepare(context, DAYS[2:5], lambda _: None)
    before = written(context)
    events, quarantine = (stream_table("signs", table) for table in (EVENTS, QUARANTINE))
    (bad,) = context.warehouse.read(quarantine).collect()
    assert (bad["ds"], bad["reason"]) == (DAYS[1], "range(price)")
    version = context.warehouse.version(events)
    other = Context.open(pipeline(signs, (2, 3, 4), name="other"), home, spark)
    prepare(other, DAYS[2:5], lambda _: None)
    assert other.warehouse.version(events) == version
    # Known in the evening of day 2: after its cut-off, and before that of day 3.
    late = [*signs, Sign(day=1, item="x", shelf="late", price=9.0, known=42.0)]
    again = Context.open(pipeline(late, (2, 3, 4)), home, spark)
    with again.warehouse.held():
        fresh = Freshness(again)
        fresh.look(DAYS[2:5])
        states = {day: fresh.features(day) for day in DAYS[2:5]}
    assert "late input (streams/signs/events 2026-01-02" in states[DAYS[2]].reasons[0]
    prepare(again, DAYS[2:5], lambda _: None)
    after = written(again)
    # Day 2 could not know it, and day 4 does not look so far back.
    assert [after[day] == before[day] for day in DAYS[2:5]] == [True, False, True]
    rows = again.warehouse.read(FEATURES, DAYS[2:5]).orderBy("ds").collect()
    assert [row["listed"] for row in rows] == [1.0, 2.0, 3.0]
