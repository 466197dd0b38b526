"""Pipelines as Hypothesis makes them up: every spine, over two small streams and a side table."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any, get_args

from hypothesis import strategies as st

from feature_store.definition import (
    Active,
    Aggregate,
    Categorical,
    Column,
    Definition,
    Derived,
    History,
    Known,
    Lookup,
    Numeric,
    Outcome,
    Product,
    Rows,
    Sequence,
    Spine,
    Stream,
    Top,
)
from feature_store.events.quarantine import good_rows, judge_rows
from feature_store.features.features import build_features
from feature_store.features.tiles import build_tiles
from tests.delivered import at
from tests.sales import BUYERS, Sale, Sales, sales_stream
from tests.toy import FIRST_DAY, toy_days

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Tiling

DAYS = 6
SALES = sales_stream(())
VISITS = replace(SALES, name="visits")
CARDS = Stream(
    name="cards",
    source=Sales(()),
    kind="changes",
    keys=("buyer",),
    event_time="since",
    knowns=(Known(name="told", at="told_at"),),
    columns=(
        Column(name="buyer", dtype="string", known="told", nullable=False),
        Column(name="level", dtype="double", known="told"),
        Column(name="number", dtype="int", known="told"),
        Column(name="since", dtype="timestamp", known="told", nullable=False),
        Column(name="told_at", dtype="timestamp", known="told", nullable=False),
    ),
    first_day=FIRST_DAY,
)
_WINDOWS = (1, 2, 4)
_WHERE = (None, "amount > 1", "number % 2 = 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """What a side table tells of a buyer: since an hour of a day, told at another."""

    day: int
    buyer: str
    level: float
    hour: float
    known: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """All that is told; hours `known` are counted from the midnight that begins the day."""

    sales: tuple[Sale, ...]
    visits: tuple[Sale, ...]
    levels: tuple[Level, ...]

    def changed_from(self, hours: float, changes: st.DataObject) -> Told:
        """Return what is told as it is before an instant (hours after FIRST_DAY), and else not."""

        def known(one: Sale | Level) -> float:
            return 24 * one.day + one.known

        def sales(own: abc.Sequence[Sale]) -> tuple[Sale, ...]:
            before = [one for one in own if known(one) < hours]
            # Each thing is told again, and some that nobody had told of.
            again = [
                replace(one, known=hours - 24 * one.day + place / 8, amount=9.0, buyer="a")
                for place, one in enumerate(own)
                if changes.draw(st.booleans())
            ]
            new = [
                Sale(day=day, number=50 + day, buyer="b", amount=7.0, known=hours - 24 * day)
                for day in range(DAYS)
            ]
            return (*before, *again, *new)

        before = [one for one in self.levels if known(one) < hours]
        late = [replace(one, level=99.0, known=hours - 24 * one.day) for one in self.levels]
        return Told(sales=sales(self.sales), visits=sales(self.visits), levels=(*before, *late))


@st.composite
def told(draw: st.DrawFn) -> Told:
    """Return sales and visits, of which some are late or corrected, and levels of buyers."""

    def sales(known: abc.Sequence[float]) -> tuple[Sale, ...]:
        found = []
        for day in range(DAYS):
            for number in range(4):
                first = Sale(
                    day=day, number=number, buyer=draw(st.sampled_from(BUYERS[:3])),
                    amount=draw(st.sampled_from([-1.0, 0.1, 2.0, 3.5])),
                    hour=draw(st.sampled_from([3.0, 12.0])), known=draw(st.sampled_from(known)),
                )  # fmt: skip
                found.append(first)
                if draw(st.integers(0, 3)) == 0:
                    wait, amount = draw(st.sampled_from([(1.0, 2.0), (20.0, 0.1), (50.0, 8.0)]))
                    buyer = draw(st.sampled_from(BUYERS[:3]))
                    found.append(
                        replace(first, known=first.known + wait, amount=amount, buyer=buyer)
                    )
        return tuple(found)

    levels = tuple(
        Level(
            day=day, buyer=buyer, level=float(10 * day + place), hour=draw(st.sampled_from([1, 9])),
            known=draw(st.sampled_from([-20.0, 2.0, 30.0])),
        )
        for day in range(DAYS)
        for place, buyer in enumerate(BUYERS[:3])
    )  # fmt: skip
    return Told(sales=sales([1.0, 13.0, 30.0]), visits=sales([-30.0, -2.0, 5.0]), levels=levels)


@st.composite
def histories(draw: st.DrawFn, keys: abc.Sequence[str]) -> tuple[History, ...]:
    """Return one to three histories by keys of the rows that are scored."""
    found = []
    for place in range(draw(st.integers(1, 3))):
        aggregates: Any = draw(
            st.lists(st.sampled_from(get_args(Aggregate)), min_size=1, max_size=4, unique=True)
        )
        windows = draw(st.lists(st.sampled_from(_WINDOWS), min_size=1, max_size=2, unique=True))
        own = draw(st.lists(st.sampled_from(keys), min_size=1, max_size=2, unique=True))
        found.append(
            History(
                name=f"h{place}", stream=draw(st.sampled_from([SALES, VISITS])), keys=tuple(own),
                value=draw(st.sampled_from(["amount", "amount > 1", "amount / (number - 1)"])),
                where=draw(st.sampled_from(_WHERE)), known="told", windows=tuple(windows),
                aggregates=tuple(aggregates),
            )
        )  # fmt: skip
    return tuple(found)


@st.composite
def sequences(draw: st.DrawFn, keys: abc.Sequence[str]) -> tuple[Sequence, ...]:
    """Return up to two sequences by keys of the rows that are scored."""
    found = []
    for place in range(draw(st.integers(0, 2))):
        key = draw(st.sampled_from(keys))
        found.append(
            Sequence(
                name=f"s{place}", stream=draw(st.sampled_from([SALES, VISITS])), keys=(key,),
                value=draw(st.sampled_from(["number", "buyer", "amount / (number - 1)"])),
                where=draw(st.sampled_from(_WHERE)), known="told",
                length=draw(st.integers(1, 3)), days=draw(st.sampled_from(_WINDOWS)),
            )
        )  # fmt: skip
    return tuple(found)


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Return a pipeline of any spine, with histories of both streams and what is made of them."""
    days = draw(st.sampled_from([1, 3]))
    where = draw(st.sampled_from(_WHERE))
    buyers = Active(
        stream=SALES, keys=("buyer",), known="told", days=days, where=where,
        at_least=draw(st.integers(1, 2)),
    )  # fmt: skip
    numbers = Top(
        stream=VISITS, keys=("number",), known="told", days=3, n=draw(st.integers(1, 3)),
        by=draw(st.sampled_from([None, "amount", "amount > 1"])),
    )  # fmt: skip
    spines: list[Spine] = [Rows(VISITS), buyers, numbers, Product(left=buyers, right=numbers)]
    spine = draw(st.sampled_from(spines))
    keys = ("number", "buyer") if isinstance(spine, Rows) else spine.keys
    own = draw(histories(keys))
    at = "sold_at" if isinstance(spine, Rows) else None
    card = Lookup(
        name="card", stream=CARDS, columns=("level", "number"), at=at,
        max_age_hours=draw(st.sampled_from([12, 60])),
    )  # fmt: skip
    # Of a stream that histories count, and asked by what the other one tells.
    bought = Lookup(
        name="bought", stream=SALES, keys=("number",), on=("card.number",), columns=("amount",),
        at=at, max_age_hours=40,
    )  # fmt: skip
    lookups = (card, bought) if "buyer" in keys else ()
    again = Outcome(
        name="again", stream=SALES, keys=keys[:1], value="amount > 0", known="told", within_days=1
    )
    first, _, _ = next(own[0].columns())
    taken = [*keys, first, *(["`card.level`", "`bought.amount`"] if lookups else [])]
    return Definition(
        name="made_up",
        description="made up",
        spine=spine,
        labels=(again,),
        features=(
            *(Categorical(name=key, column=key) for key in spine.keys),
            Categorical(name="range", column="made", bounds=(0, 2.5)),
            Numeric(name="made", column="made"),
            *(Numeric(name=c, column=n) for lk in lookups for n, c in looked_up(lk)),
        ),
        histories=own,
        sequences=draw(sequences(keys)),
        lookups=lookups,
        derived=(Derived(name="made", expression=f"2 * {draw(st.sampled_from(taken))} - 1"),),
        first_day=FIRST_DAY,
        cutoff_hours=draw(st.sampled_from([-12, 0, 6, 30])),
    )  # fmt: skip


def looked_up(lookup: Lookup) -> list[tuple[str, str]]:
    """Return what a lookup takes, as features call it, and a name for a feature of it."""
    return [(name, name.replace(".", "_")) for name in lookup.taken_columns]


def features(
    spark: SparkSession,
    definition: Definition,
    told: Told,
    days: abc.Sequence[int],
    others: abc.Sequence[Definition] = (),
) -> dict[int, list[str]]:
    """Return the features of each of `days`, each row as text, to the bit.

    Args:
        spark: the session.
        definition: the pipeline.
        told: what its streams and its side table tell.
        days: places of days.
        others: pipelines of the same cut-off that read the same streams.
    """
    every, wanted = toy_days(DAYS), [toy_days(DAYS)[day] for day in days]
    rows = {"sales": told.sales, "visits": told.visits}
    events = {stream.name: _events(spark, stream, rows[stream.name]) for stream in (SALES, VISITS)}
    tiles = []
    for stream in definition.streams:
        made = {t.digest: t for d in (definition, *others) for t in d.tilings(stream)}
        if made:
            tiles.append(_tiles(events[stream.name], list(made.values())))
    scored = definition.stream
    frame = build_features(
        None if scored is None else events[scored.name].where(events[scored.name].ds.isin(wanted)),
        reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), tiles),
        {"card": _levels(spark, told.levels), "bought": events[SALES.name]},
        definition,
        wanted,
    )
    found: dict[int, list[str]] = {day: [] for day in days}
    for row in frame.collect():
        found[every.index(row["ds"])].append(repr(row))
    return {day: sorted(own) for day, own in found.items()}


def _events(spark: SparkSession, stream: Stream, sales: abc.Sequence[Sale]) -> DataFrame:
    raw = Sales(tuple(sales)).read(spark, toy_days(DAYS)).coalesce(1)
    return good_rows(judge_rows(raw, stream), stream, None).coalesce(1).localCheckpoint()


def _tiles(events_df: DataFrame, tilings: abc.Sequence[Tiling]) -> DataFrame:
    return build_tiles(events_df, tilings).coalesce(1).localCheckpoint()


def _levels(spark: SparkSession, levels: abc.Sequence[Level]) -> DataFrame:
    rows = []
    for one in levels:
        ds = FIRST_DAY + timedelta(days=one.day)
        number = int(one.level) % 4
        rows.append((ds, one.buyer, one.level, number, at(ds, one.hour), at(ds, one.known)))
    raw = spark.createDataFrame(
        rows, "ds date, buyer string, level double, number int, since timestamp, told_at timestamp"
    )
    return good_rows(judge_rows(raw, CARDS), CARDS, None).coalesce(1).localCheckpoint()
