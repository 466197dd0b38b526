"""A delivered file ends in data, in quarantine with a reason, or in an error that names it."""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.errors import SourceCorrupt, SourceDayMissing, TooManyBadRows
from feature_store.events.quarantine import bad_rows, event_columns, good_rows, judge_rows
from feature_store.events.versions import EARLIER
from feature_store.raw import read_rows
from feature_store.schema import stream_table
from jobs.context import Context
from tests.delivered import FIRST_DAY, at, csv_text, delivered, put, rows, table
from tests.taken_in import ingest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from feature_store.home import Home

Outcome = tuple[list[dict[str, Any]], list[str]]
"""The good rows of a day by user, and the reasons of the bad ones."""


def judged(
    spark: SparkSession, definition: Definition, days: Sequence[date]
) -> dict[date, Outcome]:
    raw = read_rows(definition.stream.source, spark, days, event_columns(definition.stream))
    rows_df = judge_rows(raw, definition.stream).persist()
    good, bad = defaultdict(list), defaultdict(list)
    for row in good_rows(rows_df, definition.stream).collect():
        good[row["ds"]].append({k: v for k, v in row.asDict().items() if k not in {"ds", EARLIER}})
    for row in bad_rows(rows_df, definition.stream).collect():
        bad[row["ds"]].append(row["reason"])
    rows_df.unpersist()
    for listed in good.values():
        listed.sort(key=lambda row: row["item"])
    return {day: (good[day], bad[day]) for day in days}


def expected(day: date, **first: Any) -> list[dict[str, Any]]:
    """Return the good rows of a day, its times without a zone, as Spark hands them out."""
    one, two = rows(day)
    return [
        {k: v.replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in row.items()}
        for row in ({**one, **first}, two)
    ]


def days_of(cases: Sequence[Any]) -> list[date]:
    # Two weeks apart, so that no file is taken for another day's.
    return [FIRST_DAY + timedelta(days=n) for n in range(len(cases))]


# What is written into the first row of a CSV file, and what becomes of it: a value or a reason.
CSV_VALUES: list[tuple[str, str, Any]] = [
    ("stock", "12.0", 12),
    ("stock", "12.000", 12),
    ("stock", " 12 ", 12),
    ("stock", "+5", 5),
    ("stock", "007", 7),
    ("stock", "-0.0", 0),
    ("stock", "", None),
    ("stock", '""', None),
    ("stock", "12.5", "type(stock)"),
    ("stock", "1e3", "type(stock)"),
    ("stock", "1_000", "type(stock)"),
    ("stock", "0x10", "type(stock)"),
    ("stock", "\uff11\uff12", "type(stock)"),
    ("stock", "99999999999", "type(stock)"),
    ("stock", "nan", "type(stock)"),
    ("stock", "true", "type(stock)"),
    ("stock", "12\x01", "type(stock)"),
    ("stock", "\t12.0 ", 12),
    ("item", "9007199254740993", 9007199254740993),
    ("item", "9007199254740993.0", 9007199254740993),
    ("item", "", "null(item)"),
    ("price", "1e3", 1000.0),
    ("price", " .5 ", 0.5),
    ("price", "5.", 5.0),
    ("price", "1.5f", "type(price)"),
    ("price", "1d", "type(price)"),
    ("price", "0x1p3", "type(price)"),
    ("price", '"1,5"', "type(price)"),
    ("price", "\u0661", "type(price)"),
    ("price", "NaN", "not_finite(price)"),
    ("price", "-inf", "not_finite(price)"),
    ("price", "1e999", "not_finite(price)"),
    ("price", "9007199254740992", 9007199254740992.0),
    ("price", "9007199254740993", "precision(price)"),
    ("price", "9007199254740993.0", "precision(price)"),
    ("price", "9" * 40, "precision(price)"),
    ("price", "1" + "0" * 22 + ".", 1e22),
    *[("clicked", text, True) for text in ("true", "TRUE", "True", "t", "1", "1.0", " true\t")],
    *[("clicked", text, False) for text in ("false", "False", "f", "0", "0.0")],
    *[
        ("clicked", text, "type(clicked)")
        for text in ("yes", "no", "y", "0.15", "2", "-1", "on", "0.0001")
    ],
    ("clicked", "", None),
    *[
        ("happened_at", text, at(FIRST_DAY, 12))
        for text in (
            "DAY 12:00",
            "DAYT12:00Z",
            "DAYT14:00+02:00",
            "DAY 10:00 -0200",
            "DAYT12:00:00Z",
            "DAYT14:00:00+02:00",
            "DAYT10:00:00.000000-0200",
        )
    ],
    ("happened_at", "DAY", at(FIRST_DAY, 0)),
    (
        "happened_at",
        " DAY 12:00:00.123456789 UTC",
        at(FIRST_DAY, 12) + timedelta(microseconds=123456),
    ),
    *[
        ("happened_at", text, "type(happened_at)")
        for text in (
            "18:00:00",
            "T18:00",
            "202601",
            "2026",
            "20260102",
            "1767355200",
            "1767355200000",
            "1.7673552E9",
            "2026-1-2",
            "02/01/2026",
            "DAY 25:00:00",
            "DAY 12",
            "2026-02-30",
            "now",
            "today",
            "epoch",
            "+2026-01-02",
            "DAY 12:00:00 Europe/Paris",
            "0000-01-02 12:00:00",
            "9999-12-31 23:00:00-05:00",
        )
    ],
    ("happened_at", "2026-01-01 12:00:00", "event_day(happened_at)"),
    ("happened_at", "2031-01-01 12:00:00", "event_day(happened_at)"),
    ("click_known_at", "", None),
    ("click_known_at", "1970-01-21 10:55:55", "known_at(click_known_at)"),
    ("click_known_at", "9999-12-31", "known_at(click_known_at)"),
    ("planned_at", "0001-01-01", "known_at(planned_at)"),
    ("user", "  u1 ", "  u1 "),
    ("user", "null", "null"),
    ("user", "NaN", "NaN"),
    ("user", '"a,b"', "a,b"),
    ("user", '"a""b"', 'a"b'),
    ("user", '"a\nb"', "a\nb"),
    ("user", '"a\r\nb"', "a\r\nb"),
    ("user", "L\u00e9a", "L\u00e9a"),
    ("user", "\ufffd", "\ufffd"),
    ("user", "#u", "#u"),
    ("user", "100.0", "100.0"),
    ("user", "", "null(user)"),
    ("user", "a\0b", "malformed"),
    ("user", 'a"b', 'a"b'),
    ("user", '"a"b', "malformed"),
    ("user", "a,b", "malformed"),
]


def test_what_a_csv_value_becomes(spark: SparkSession, tmp_path: Path) -> None:
    definition = delivered(tmp_path)
    days = days_of(CSV_VALUES)
    for day, (column, text, _) in zip(days, CSV_VALUES, strict=True):
        put(tmp_path, day, "part.csv", csv_text(day, **{column: text.replace("DAY", str(day))}))
    found = judged(spark, definition, days)
    for day, (column, text, outcome) in zip(days, CSV_VALUES, strict=True):
        good, bad = found[day]
        is_reason = isinstance(outcome, str) and (outcome == "malformed" or outcome.endswith(")"))
        if is_reason:
            assert (good, bad) == (expected(day)[1:], [outcome]), (column, text)
            continue
        if isinstance(outcome, datetime):
            outcome = (outcome + (day - FIRST_DAY)).replace(tzinfo=None)
        assert (bad, good) == (
            [],
            sorted(expected(day, **{column: outcome}), key=lambda r: r["item"]),
        ), (
            column,
            text,
        )


SEC = pa.timestamp("s")


def whole(*values: Any, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(values, kind)


def instants(day: date, hours: int, kind: pa.DataType) -> pa.Array:
    return pa.array([at(day, hours)] * 2, pa.timestamp("us", "UTC")).cast(kind)


# Columns of a Parquet file that take the place of the base's, and what becomes of the first row.
PARQUET_COLUMNS: list[tuple[str, Callable[[date], Mapping[str, pa.Array | None]], Any]] = [
    ("ids as int64", lambda d: {"user": whole(7, 8)}, {"user": "7"}),
    ("ids as doubles", lambda d: {"user": whole(7.0, 8.0)}, {"user": "7"}),
    ("ids as float32", lambda d: {"user": whole(7, 8, kind=pa.float32())}, {"user": "7"}),
    ("ids as decimals", lambda d: {"user": whole(Decimal("7.00"), Decimal("8.00"))}, {"user": "7"}),
    (
        "ids as uint64",
        lambda d: {"user": whole(2**64 - 1, 8, kind=pa.uint64())},
        {"user": str(2**64 - 1)},
    ),
    ("large ids", lambda d: {"user": whole(2**53 + 1, 8)}, {"user": str(2**53 + 1)}),
    ("large ids as doubles", lambda d: {"user": whole(2.0**53, 8.0)}, "precision(user)"),
    (
        "large ids as float32",
        lambda d: {"user": whole(2.0**24, 8.0, kind=pa.float32())},
        "precision(user)",
    ),
    ("a fraction as an id", lambda d: {"user": whole(0.5, 8.0)}, {"user": "0.5"}),
    (
        "a decimal as an id",
        lambda d: {"user": whole(Decimal("0.50"), Decimal("8"))},
        {"user": "0.5"},
    ),
    ("NaN as an id", lambda d: {"user": pa.array(np.array([np.nan, 8.0]))}, "type(user)"),
    ("minus zero as an id", lambda d: {"user": whole(-0.0, 8.0)}, {"user": "0"}),
    ("categories", lambda d: {"user": whole("u1", "u2").dictionary_encode()}, {}),
    ("large text", lambda d: {"user": whole("u1", "u2", kind=pa.large_string())}, {}),
    ("bytes", lambda d: {"user": whole(b"u1", b"u2")}, {}),
    ("bytes that are not UTF-8", lambda d: {"user": whole(b"L\xe9a", b"u2")}, "malformed"),
    (
        "text that is not UTF-8",
        lambda d: {
            "user": pa.Array.from_buffers(pa.string(), 2, whole(b"L\xe9a", b"u2").buffers())
        },
        "malformed",
    ),
    ("a truth value as text", lambda d: {"user": whole(True, False)}, None),
    ("int8", lambda d: {"stock": whole(3, 4, kind=pa.int8())}, {}),
    ("uint32", lambda d: {"stock": whole(3, 4, kind=pa.uint32())}, {}),
    ("uint32 too large", lambda d: {"stock": whole(2**32 - 1, 4, kind=pa.uint32())}, "type(stock)"),
    ("whole doubles", lambda d: {"stock": whole(3.0, 4.0)}, {}),
    ("doubles with a null", lambda d: {"stock": whole(None, 4.0)}, {"stock": None}),
    ("doubles with a fraction", lambda d: {"stock": whole(3.5, 4.0)}, "type(stock)"),
    ("a double too large for an int", lambda d: {"stock": whole(3e9, 4.0)}, "type(stock)"),
    ("a double too large for a bigint", lambda d: {"item": whole(1e17, 101.0)}, "precision(item)"),
    ("whole decimals", lambda d: {"stock": whole(Decimal("3.00"), Decimal("4.00"))}, {}),
    ("text", lambda d: {"stock": whole("3", "4")}, {}),
    ("nothing but nulls", lambda d: {"stock": whole(None, 4), "price": pa.nulls(2)}, None),
    ("float32", lambda d: {"price": whole(1.5, 2.0, kind=pa.float32())}, {}),
    ("whole prices", lambda d: {"price": whole(3, 2)}, {"price": 3.0}),
    ("a price beyond 2^53", lambda d: {"price": whole(2**53 + 1, 2)}, "precision(price)"),
    ("a large price that is exact", lambda d: {"price": whole(2**60, 2)}, {"price": 2.0**60}),
    ("labels 0 and 1", lambda d: {"clicked": whole(1, 0)}, {}),
    ("labels 0.0 and 1.0", lambda d: {"clicked": whole(1.0, 0.0)}, {}),
    ("labels with a null", lambda d: {"clicked": whole(None, 0.0)}, {"clicked": None}),
    *[(f"label {n}", lambda d, n=n: {"clicked": whole(n, 0)}, "type(clicked)") for n in (2, -1)],
    ("label 0.15", lambda d: {"clicked": whole(0.15, 0)}, "type(clicked)"),
    ("label yes", lambda d: {"clicked": whole("yes", "false")}, "type(clicked)"),
    *[
        (str(kind), lambda d, kind=kind: {"happened_at": instants(d, 12, kind)}, {})
        for kind in (
            pa.timestamp("s"),
            pa.timestamp("ms"),
            pa.timestamp("us"),
            pa.timestamp("ns"),
            pa.timestamp("ns", "UTC"),
            pa.timestamp("ms", "Europe/Paris"),
        )
    ],
    ("times as text", lambda d: {"happened_at": whole(f"{d} 12:00:00", f"{d}T12:00:00Z")}, {}),
    (
        "a year out of reach",
        lambda d: {
            "happened_at": pa.array([10**15, int(at(d, 12).timestamp() * 1000)], pa.timestamp("ms"))
        },
        "malformed",
    ),
    (
        "a day out of reach",
        lambda d: {
            "happened_at": pa.array([2**31 - 1, (d - date(1970, 1, 1)).days], pa.int32()).cast(
                pa.date32()
            )
        },
        "malformed",
    ),
    ("a column that is not declared", lambda d: {"x": pa.array([1, 2], pa.timestamp("ns"))}, {}),
    ("nested", lambda d: {"x": pa.array([{"a": [1]}, None])}, {}),
    ("another spelling", lambda d: {"Price": whole("x", "y"), "USER": whole(1, 2)}, {}),
    (
        "the reader's own names",
        lambda d: {
            "ds": whole("x", "y"),
            "source_file": whole(1, 2),
            "_corrupt_record": whole("x", "y"),
            "_unreadable": whole("x", "y"),
        },
        {},
    ),
    ("a duration", lambda d: {"x": pa.array([1, 2], pa.duration("ns"))}, {}),
    ("a nullable column that is lacking", lambda d: {"price": None}, None),
]


def test_what_a_parquet_column_becomes(spark: SparkSession, tmp_path: Path) -> None:
    definition = delivered(tmp_path, "parquet")
    days = days_of(PARQUET_COLUMNS)
    for day, (_, columns, _) in zip(days, PARQUET_COLUMNS, strict=True):
        put(tmp_path, day, "part.parquet", table(day, **columns(day)))
    found = judged(spark, definition, days)
    for day, (title, _, outcome) in zip(days, PARQUET_COLUMNS, strict=True):
        good, bad = found[day]
        if outcome is None:
            continue
        if isinstance(outcome, str):
            assert (bad, len(good)) == ([outcome], 1), title
        else:
            changed = {k: v for k, v in good[0].items() if v != expected(day)[0][k]}
            assert (bad, changed) == ([], outcome), title
    by_title = dict(zip([title for title, _, _ in PARQUET_COLUMNS], days, strict=True))
    assert [row["user"] for row in found[by_title["a truth value as text"]][0]] == ["true", "false"]
    for title in ("nothing but nulls", "a nullable column that is lacking"):
        good, bad = found[by_title[title]]
        assert (bad, [row["price"] for row in good]) == ([], [None, None]), title


# --- days together are the days one by one ---------------------------------------------------

WHOLE = st.sampled_from(["int64", "Int64", "Int32", "float64", "object"])
INSTANT = st.sampled_from(["datetime64[ns]", "datetime64[ms]", "datetime64[us, UTC]", "text"])
DELIVERY = st.fixed_dictionaries(
    {
        "item": WHOLE,
        "price": st.sampled_from(["float64", "float32", "Float64", "int64", "Int16"]),
        "stock": WHOLE,
        "clicked": st.sampled_from(["bool", "boolean", "int64", "float64", "Int8"]),
        "happened_at": INSTANT,
        "click_known_at": INSTANT,
        "null": st.sets(st.sampled_from(["price", "stock", "clicked", "click_known_at"])),
        "lacking": st.sets(st.sampled_from(["price", "stock", "click_known_at"]), max_size=1),
        "more": st.booleans(),
        "ids": st.sampled_from([1, 2**31 - 1]),
    }
)


def frame(day: date, drawn: Mapping[str, Any]) -> pd.DataFrame:
    """Return a day as pandas holds it after whatever the sender did before."""
    out = pd.DataFrame(rows(day))
    out["item"] = [drawn["ids"], 7]
    out["price"] = [2.0, 3.0]
    for name in drawn["null"]:
        out[name] = out[name].astype(object)
        out.loc[0, name] = None
    for name in ("item", "price", "stock", "clicked"):
        kind = drawn[name]
        if name in drawn["null"] and kind in ("int64", "bool"):
            kind = "float64"  # what pandas makes of them beside a null
        out[name] = out[name].astype("float64" if name in drawn["null"] else out[name].dtype)
        out[name] = out[name].astype(kind)
    for name in ("happened_at", "click_known_at"):
        instants = pd.to_datetime(out[name], utc=True)
        if drawn[name] == "text":
            out[name] = instants.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").astype(object)
            out[name] = out[name].where(instants.notna(), None)
        elif drawn[name].endswith("UTC]"):
            out[name] = instants.astype(drawn[name])
        else:
            out[name] = instants.dt.tz_localize(None).astype(drawn[name])
    if drawn["more"]:
        # Beside the declared name another spelling is a column of no interest; alone it is refused.
        out.insert(0, "weight" if "price" in drawn["lacking"] else "Price", ["x", "y"])
        out["at"] = pd.to_datetime(["2026-01-01", None])
    return out.drop(columns=list(drawn["lacking"]))


@pytest.mark.slow
@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=st.lists(DELIVERY, min_size=5, max_size=5), data=st.data())
def test_days_together_and_alone_and_as_csv_and_parquet_are_the_same_rows(
    spark: SparkSession,
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[dict[str, Any]],
    data: st.DataObject,
) -> None:
    days = days_of(drawn)
    found = []
    kinds: tuple[Literal["csv", "parquet"], ...] = ("csv", "parquet")
    for kind in kinds:
        folder = tmp_path_factory.mktemp(kind)
        for day, what in zip(days, drawn, strict=True):
            path = put(folder, day, f"part.{kind}", "")
            if kind == "csv":
                frame(day, what).to_csv(path, index=what["more"])
            else:
                frame(day, what).to_parquet(path)
        definition = delivered(folder, kind)
        together = judged(spark, definition, days)
        if kind == "parquet":
            alone = data.draw(st.sampled_from(days))
            assert judged(spark, definition, [alone])[alone] == together[alone]
        found.append(together)
    assert found[0] == found[1]
    for good, bad in found[0].values():
        assert (len(good), bad) == (2, [])


# --- a day that cannot be used ---------------------------------------------------------------


@pytest.mark.slow
def test_a_day_that_cannot_be_read_is_refused_alone_and_leaves_no_good_row(
    spark: SparkSession, home: Home, tmp_path: Path
) -> None:
    days = [FIRST_DAY + timedelta(days=n) for n in range(5)]
    folder = tmp_path / "in"
    context = Context.open(delivered(folder), home, spark)
    for day in days[:3]:
        put(folder, day, "part.csv", csv_text(day))
    put(folder, days[1], "more.csv.gz", gzip.compress(csv_text(days[1]).encode() * 99)[:-9])
    put(folder, days[2], "part.csv", csv_text(days[2], user='"a\nb"'))
    put(folder, days[3], "part.csv", csv_text(days[0]))
    with pytest.raises(
        SourceCorrupt, match=r"ds=2026-01-03: source file .*more\.csv\.gz"
    ) as raised:
        ingest(context, days[:3])
    assert raised.value.ds == days[1]
    written = {day: context.warehouse.commit(context.events, day) for day in days}
    assert [commit.rows if commit else None for commit in written.values()] == [2, None, 2] + [
        None
    ] * 2
    reasons = (
        context.warehouse.read(stream_table("delivered", "quarantine"), days[1:2])
        .groupBy("reason")
        .count()
        .collect()
    )
    assert ("unreadable", 1) in [tuple(row) for row in reasons]
    with pytest.raises(SourceCorrupt, match=r"holds the very bytes of .*ds=2026-01-02") as raised:
        ingest(context, days[3:4])
    assert raised.value.ds == days[3]
    put(folder, days[3], "part.csv", csv_text(days[0]) + "\n")
    with pytest.raises(TooManyBadRows, match=r"event_day\(happened_at\) 2"):
        ingest(context, days[3:4])
    put(folder, days[4], "part.csv", csv_text(days[4]).split("\n")[0])
    with pytest.raises(SourceDayMissing, match="the day is empty"):
        ingest(context, days[4:])
    (folder / f"ds={days[1]}" / "more.csv.gz").unlink()
    ingest(context, days[:3])
    assert context.warehouse.read(context.events, days[:3]).count() == 6
