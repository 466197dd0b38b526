"""A pipeline small enough to reason about by hand; its source is a tuple of rows."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from feature_store.definition import (
    Categorical,
    Check,
    Column,
    Cross,
    Definition,
    Gate,
    History,
    Known,
    Label,
    Lookup,
    Numeric,
    Stream,
    Training,
)
from feature_store.definition import Rows as SpineRows
from feature_store.errors import SourceDayMissing
from feature_store.schema import stream_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FIRST_DAY = date(2026, 1, 1)
EVENTS, QUARANTINE, TILES, REFUSED = (
    stream_table("toy", table) for table in ("events", "quarantine", "tiles", "refused")
)

SCHEMA = (
    "ds date, user string, item string, price double, planned_at timestamp, "
    "happened_at timestamp, clicked boolean, click_known_at timestamp, source_file string"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One impression: `day` counts from FIRST_DAY, hours from that day's midnight UTC."""

    day: int
    user: str
    item: str
    price: float | None = 1.0
    clicked: bool | None = False
    planned: float = -6.0
    click_known: float = 30.0

    def values(self) -> tuple[object, ...]:
        """Return the row in the order of SCHEMA."""
        ds = FIRST_DAY + timedelta(days=self.day)
        midnight = datetime(ds.year, ds.month, ds.day, tzinfo=UTC)
        planned = midnight + timedelta(hours=self.planned)
        happened = midnight + timedelta(hours=12)
        known = midnight + timedelta(hours=self.click_known)
        facts = (self.user, self.item, self.price, planned, happened, self.clicked, known)
        return (ds, *facts, "toy")


@dataclass(frozen=True, slots=True)
class Rows:
    """A source held in memory."""

    rows: tuple[Row, ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest of the day's rows."""
        listed = [row for row in self.rows if FIRST_DAY + timedelta(days=row.day) == day]
        if not listed:
            raise SourceDayMissing("toy", day, "no such rows", "Add some")
        return hashlib.sha256(repr(listed).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the raw rows of `days`."""
        wanted = [row.values() for row in self.rows if row.values()[0] in set(days)]
        return spark.createDataFrame(wanted, SCHEMA)


@dataclass(frozen=True, slots=True)
class Prices:
    """A lookup: (item, day, hour of the price, hour it became known, list price)."""

    rows: tuple[tuple[str, int, float, float, float], ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest of all rows."""
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16]

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`."""
        rows = []
        for item, day, at, known, price in self.rows:
            ds = FIRST_DAY + timedelta(days=day)
            midnight = datetime(ds.year, ds.month, ds.day, tzinfo=UTC)
            if ds in set(days):
                when = midnight + timedelta(hours=at), midnight + timedelta(hours=known)
                rows.append((ds, item, price, *when))
        schema = "ds date, item string, list_price double, event_time timestamp, known_at timestamp"
        return spark.createDataFrame(rows, schema)


def price_stream(prices: Prices, **changes: Any) -> Stream:
    """Return the stream of prices: of an item there may be several on a day."""
    told = {"known": "told", "nullable": False}
    stream = Stream(
        name="prices",
        source=prices,
        kind="changes",
        keys=("item", "event_time"),
        event_time="event_time",
        event_days=(-1, 0),
        knowns=(Known(name="told", at="known_at"),),
        columns=(
            Column(name="item", dtype="string", **told),
            Column(name="list_price", dtype="double", known="told"),
            Column(name="event_time", dtype="timestamp", **told),
            Column(name="known_at", dtype="timestamp", **told),
        ),
        first_day=FIRST_DAY,
    )
    return replace(stream, **changes)


COLUMNS = (
    Column(name="user", dtype="string", known="plan", nullable=False),
    Column(name="item", dtype="string", known="plan", nullable=False),
    Column(name="price", dtype="double", known="plan", minimum=0.0),
    Column(name="planned_at", dtype="timestamp", known="plan", nullable=False),
    Column(name="happened_at", dtype="timestamp", known="plan", nullable=False),
    Column(name="clicked", dtype="boolean", known="click"),
    Column(name="click_known_at", dtype="timestamp", known="click"),
)


def toy_definition(
    rows: Sequence[Row], prices: Prices | None = None, **changes: object
) -> Definition:
    """Return the toy pipeline over `rows`, with a price lookup if `prices` are given."""
    lookups: tuple[Lookup, ...] = ()
    extra: tuple[Numeric, ...] = ()
    if prices is not None:
        lookups = (
            Lookup(
                name="prices",
                stream=price_stream(prices),
                keys=("item",),
                columns=("list_price",),
                at="happened_at",
                max_age_hours=24,
            ),
        )
        extra = (Numeric(name="list_price", column="prices.list_price"),)
    stream = Stream(
        name="toy",
        source=Rows(tuple(rows)),
        keys=("user", "item"),
        event_time="happened_at",
        knowns=(
            Known(name="plan", at="planned_at"),
            Known(name="click", at="click_known_at", after_event=True),
        ),
        columns=COLUMNS,
        first_day=FIRST_DAY,
        max_bad_share=0.5,
    )
    definition = Definition(
        name="toy",
        description="impressions small enough to reason about",
        spine=SpineRows(stream),
        labels=(Label(name="clicked", expression="clicked", known="click"),),
        features=(
            Categorical(name="user", column="user"),
            Categorical(name="item", column="item"),
            Cross(name="user_item", of=("user", "item")),
            Numeric(name="price", column="price"),
            *extra,
        ),
        histories=(
            History(
                name="item_ctr", keys=("item",), value="clicked", known="click", windows=(2, 4)
            ),
        ),
        lookups=lookups,
        checks=(
            Check(stage="features", kind="row_count", minimum=1),
            Check(stage="features", kind="between", columns=("price",), minimum=0, maximum=1000),
            Check(stage="scores", kind="between", columns=("score",), minimum=0, maximum=1),
        ),
        training=Training(model="lr", epochs=2, batch_size=64, validation_days=1, min_count=1),
        first_day=FIRST_DAY,
    )
    return changed(definition, **changes)


def changed(definition: Definition, **changes: Any) -> Definition:
    """Return a definition with other values, each put where it belongs: some are of its stream."""
    of_stream = {name: changes.pop(name) for name in _OF_STREAM.intersection(changes)}
    for name in _OF_BOTH.intersection(changes):
        of_stream[name] = changes[name]
    # At once: what is changed together may be wrong apart.
    spine = SpineRows(replace(definition.stream, **of_stream)) if of_stream else definition.spine
    return replace(definition, **{"spine": spine, **changes})


_OF_BOTH = {"name", "first_day", "last_day"}
_OF_STREAM = {field.name for field in fields(Stream)} - _OF_BOTH


def toy_days(count: int) -> list[date]:
    """Return the first `count` days."""
    return [FIRST_DAY + timedelta(days=i) for i in range(count)]


def clicky_rows(days: int = 8) -> list[Row]:
    """Return 60 rows a day; each item has its own rate of clicks, known in the evening."""
    rng = random.Random(5)
    rates = (0.1, 0.2, 0.3, 0.7, 0.8, 0.9)
    return [
        Row(
            day=day,
            user=f"u{user}",
            item=f"i{item}",
            price=float(user),
            clicked=rng.random() < rates[item],
            click_known=20.0,
        )
        for day in range(days)
        for user in range(10)
        for item in range(6)
    ]


def clicky_definition(rows: Sequence[Row] | None = None, **changes: object) -> Definition:
    """Return a toy pipeline that a model can learn something from, with a lenient gate."""
    lenient = Gate(min_auc=0.6, max_ece=0.5)
    quick = Training(
        model="lr", epochs=4, batch_size=64, learning_rate=0.05, validation_days=1, min_count=1
    )
    options = {"gate": lenient, "training": quick, **changes}
    return toy_definition(clicky_rows() if rows is None else rows, **options)  # type: ignore[arg-type]


def split_bad_rows(
    raw: DataFrame | Sequence[DataFrame], definition: Definition
) -> tuple[DataFrame, DataFrame]:
    """Return the good rows and the bad ones of a first delivery, as ingest makes them."""
    from feature_store.events.quarantine import bad_rows, good_rows, judge_rows

    judged = judge_rows(raw, definition.stream)
    return good_rows(judged, definition.stream), bad_rows(judged, definition.stream)
