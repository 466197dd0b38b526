"""A file that is not laid out by day: which days it holds, and what of it makes a day another."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources.adapted import Adapted
from feature_store.sources.files import DailyFiles
from feature_store.sources.instants import days_of, instants_of, micros_of_text
from feature_store.sources.undated import UndatedFiles

FIRST = date(2026, 1, 2)
Row = tuple[str, str, str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("NIGHTSCORE_SOURCE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows_of(days: int, each: int = 2) -> list[Row]:
    return [
        (f"u{n}", str(n * 1.5), f"{FIRST + timedelta(days=day)} 12:00:00")
        for day in range(days)
        for n in range(each)
    ]


def put(path: Path, rows: list[Row], kind: Literal["csv", "parquet"] = "csv") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "csv":
        path.write_text("user,price,at\n" + "".join(f"{','.join(row)}\n" for row in rows))
        return path
    users, prices, times = zip(*rows, strict=True) if rows else ((), (), ())
    table = {
        "user": pa.array(users, pa.string()),
        "price": pa.array(map(float, prices), pa.float64()),
        "at": pa.array(map(datetime.fromisoformat, times), pa.timestamp("ns")),
    }
    pq.write_table(pa.table(table), path, row_group_size=3)
    return path


def source(path: Path, kind: Literal["csv", "parquet"] = "csv", **said: Any) -> UndatedFiles:
    return UndatedFiles(path=str(path), day_column="at", format=kind, **said)


def prints(path: Path, days: int, kind: Literal["csv", "parquet"] = "csv") -> list[str]:
    found = source(path, kind)
    return [found.fingerprint(FIRST + timedelta(days=n)) for n in range(days)]


# --- which day a value lies on ----------------------------------------------------------------

TEXTS: list[tuple[str, Literal["seconds", "milliseconds"] | None, date | None]] = [
    ("2026-01-02", None, FIRST),
    (" 2026-01-02 18:00 ", None, FIRST),
    ("2026-01-02T23:59:59.999999Z", None, FIRST),
    ("2026-01-03T01:30:00+02:00", None, FIRST),
    ("2026-01-01 23:30:00 -0100", None, FIRST),
    ("2026-01-02 24:00", None, None),
    ("2026-01-02 12:00:00+19:00", None, None),
    ("2026-02-30", None, None),
    ("02/01/2026", None, None),
    ("20260102", None, None),
    ("1767355200", None, None),
    ("", None, None),
    ("0001-01-01 00:00:00+01:00", None, None),
    ("9999-12-31 23:30:00-01:00", None, None),
    ("1767355200", "seconds", FIRST),
    ("1767355200.75", "seconds", FIRST),
    ("-1", "seconds", date(1969, 12, 31)),
    ("1767355200000", "milliseconds", FIRST),
    ("1767355200000", "seconds", None),
    ("1.7e9", "seconds", None),
    ("2026-01-02", "seconds", None),
]


@pytest.mark.parametrize(("text", "unit", "day"), TEXTS)
def test_the_day_of_a_text_is_told_or_it_is_none(
    text: str, unit: Literal["seconds", "milliseconds"] | None, day: date | None
) -> None:
    assert days_of(pa.array([text, None, text]), unit).to_pylist() == [day, None, day]


NOON = datetime(2026, 1, 2, 12)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (pa.array([FIRST, None]), None),
        (pa.array([NOON, None], pa.timestamp("s")), None),
        (pa.array([NOON, None], pa.timestamp("ns")), None),
        (pa.array([NOON.replace(tzinfo=UTC), None], pa.timestamp("us", "UTC")), None),
        (pa.array([1767355200, None]), "seconds"),
        (pa.array([1767355200.5, float("nan")]), "seconds"),
        (pa.array(np.array([1767355200000, 1 << 62])), "milliseconds"),
    ],
)
def test_the_day_of_a_typed_value_is_told(
    values: pa.Array, unit: Literal["seconds", "milliseconds"] | None
) -> None:
    assert days_of(values, unit).to_pylist() == [FIRST, None]


def test_an_instant_keeps_what_is_finer_than_a_second() -> None:
    values = [
        ("2026-01-02 12:00:00.5", None),
        ("1767355200.5", "seconds"),
        ("1767355200500", "milliseconds"),
    ]
    half = NOON.replace(tzinfo=UTC) + timedelta(milliseconds=500)
    for text, unit in values:
        assert instants_of(pa.array([text]), unit).to_pylist() == [half]
        if unit:
            assert instants_of(pa.array([float(text)]), unit).to_pylist() == [half]


@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-1080, 1080))
@example(datetime(2026, 1, 1, 23, 59), -1)
def test_a_day_is_that_of_utc_whatever_the_zone(instant: datetime, offset: int) -> None:
    local = instant + timedelta(minutes=offset)
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    text = f"{local.isoformat(timespec='seconds')}{zone}"
    assert days_of(pa.array([text]), None).to_pylist() == [instant.date()]
    micros = micros_of_text(text, None)
    assert micros is not None
    assert datetime(1970, 1, 1) + timedelta(microseconds=micros) == instant.replace(microsecond=0)


# --- what makes a day another -----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_change_to_a_day_changes_its_fingerprint_and_no_other(
    tmp_path: Path, kind: Literal["csv", "parquet"]
) -> None:
    path, rows = tmp_path / f"log.{kind}", rows_of(3)
    put(path, rows, kind)
    before = prints(path, 3, kind)
    assert len(set(before)) == 3
    put(path, [("u9", "9.0", row[2]) if n == 2 else row for n, row in enumerate(rows)], kind)
    after = prints(path, 3, kind)
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    put(path, [*rows, *rows_of(4)[-2:]], kind)
    assert prints(path, 4, kind)[:3] == before


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 1 << 30))
def test_rows_of_other_days_between_do_not_count(tmp_path: Path, seed: int) -> None:
    """Nor does where batches end: a day is the same however its rows are strewn over the file."""
    by_day = [[row for row in rows_of(3, 5) if row[2].startswith(str(FIRST + timedelta(days=n)))]
              for n in range(3)]  # fmt: skip
    chance, strewn = random.Random(seed), []
    left = [list(rows) for rows in by_day]
    while any(left):
        strewn.append(chance.choice([rows for rows in left if rows]).pop(0))
    for kind in ("csv", "parquet"):
        one, other = tmp_path / "a" / f"log.{kind}", tmp_path / "b" / f"log.{kind}"
        put(one, rows_of(3, 5), kind)
        put(other, strewn, kind)
        assert prints(one, 3, kind) == prints(other, 3, kind)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('u,"a,b",', 'u,a,"b,"'),
        ("u,,a", "u,a,"),
        ("u,-,1", "u,1,-"),
        ("u, a,b", "u,a,b"),
    ],
)
def test_no_two_rows_have_one_digest(tmp_path: Path, one: str, other: str) -> None:
    found = set()
    for line in (one, other):
        (tmp_path / "log.csv").write_text(f"at,user,a,b\n{FIRST},{line}\n")
        found.add(source(tmp_path / "log.csv").fingerprint(FIRST))
    assert len(found) == 2


def test_a_file_is_read_once_for_each_content(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "log.csv", rows_of(2))
    before = prints(path, 2)
    assert len(list((cache / "undated").iterdir())) == 1

    def refuse(*_: object) -> None:
        raise AssertionError("the file is read again")

    from feature_store.sources import dayindex

    dayindex.day_index.cache_clear()
    monkeypatch.setattr(dayindex, "_found", refuse)
    assert prints(path, 2) == before


# --- which files, and what is wrong with one --------------------------------------------------


def test_a_file_a_folder_and_a_pattern_hold_the_same_days(tmp_path: Path) -> None:
    put(tmp_path / "in" / "log.csv", rows_of(2))
    (tmp_path / "in" / "README").write_text("no data")
    (tmp_path / "in" / "_temporary.csv").write_text("half")
    found = {
        source(tmp_path / place).fingerprint(FIRST) for place in ("in/log.csv", "in", "in/*.csv")
    }
    assert len(found) == 1
    put(tmp_path / "in" / "more.csv", rows_of(1))
    assert source(tmp_path / "in").fingerprint(FIRST) not in found
    assert source(tmp_path / "in").snapshot_days() == [FIRST, FIRST + timedelta(days=1)]
    assert source(tmp_path / "*" / "log.csv").files() == [tmp_path / "in" / "log.csv"]


def test_a_day_without_a_row_is_missing_and_says_what_is_there(tmp_path: Path) -> None:
    path = put(tmp_path / "log.csv", rows_of(2))
    with pytest.raises(SourceDayMissing, match=r"its rows are of 2026-01-02\.\.2026-01-03"):
        source(path).fingerprint(date(2026, 1, 9))
    put(path, [])
    with pytest.raises(SourceDayMissing, match="it has no rows"):
        source(path).fingerprint(FIRST)


BROKEN: list[tuple[str, str]] = [
    ("u1,1,\n", r"column at: 1 row has no day that can be told, such as row 3: None"),
    ("u1,1,02/01/2026\nu2,1,never\n", r"column at: 2 rows have .* row 3: '02/01/2026'"),
    ("u1,1\n", r"such as line 4: 2 values, the header has 3: u1,1"),
    ('"u1,1,2026-01-02\n', r"such as line 4: not CSV"),
]


@pytest.mark.parametrize(("lines", "told"), BROKEN)
def test_a_row_of_no_day_refuses_its_file_and_is_shown(
    tmp_path: Path, lines: str, told: str
) -> None:
    path = put(tmp_path / "log.csv", rows_of(1))
    path.write_text(path.read_text() + lines)
    for look in (source(path).fingerprint, lambda day: source(path).refuse_copies([day])):
        with pytest.raises(SourceCorrupt, match=told) as raised:
            look(FIRST)
        assert str(raised.value).startswith(f"source file {path}: ")
        assert raised.value.ds == FIRST


@pytest.mark.parametrize(
    ("column", "unit", "told"),
    [
        ("At", None, "column at is missing; the file has user, At. A name is taken letter by"),
        ("when", None, "column at is missing; the file has user, when"),
        ("at", None, "column at is bigint: nobody can tell seconds from milliseconds"),
    ],
)
def test_a_day_column_that_says_no_day_is_told_of(
    tmp_path: Path, column: str, unit: Literal["seconds"] | None, told: str
) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"user": ["a"], column: [1767355200]}), path)
    with pytest.raises(SourceCorrupt, match=told):
        source(path, "parquet", unit=unit).fingerprint(FIRST)


def test_what_is_no_file_or_is_cut_short_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(SourceCorrupt, match=r"log\.csv: cannot be read"):
        source(tmp_path / "log.csv").fingerprint(FIRST)
    with pytest.raises(SourceCorrupt, match="nothing is there"):
        source(tmp_path / "*.csv").fingerprint(FIRST)
    whole = put(tmp_path / "whole", rows_of(50)).read_bytes()
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress(whole)[:-9])
    with pytest.raises(SourceCorrupt, match=r"log\.csv\.gz: cannot be read") as raised:
        source(tmp_path / "log.csv.gz").fingerprint(FIRST)
    assert raised.value.ds == FIRST


def test_two_files_of_the_same_bytes_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "in" / "log.csv", rows_of(2))
    source(tmp_path / "in").refuse_copies([FIRST])
    put(tmp_path / "in" / "log2.csv", rows_of(2))
    with pytest.raises(SourceCorrupt, match=r"log2\.csv: holds the very bytes of .*log\.csv"):
        source(tmp_path / "in").refuse_copies([FIRST])


@pytest.mark.parametrize(
    "said",
    [
        {"format": "json"},
        {"unit": "hours"},
        {"delimiter": ";;"},
        {"path": ""},
        {"day_column": ""},
    ],
)
def test_a_source_that_cannot_be_is_refused_when_it_is_made(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="UndatedFiles"):
        UndatedFiles(**{"path": "in", "day_column": "at", **said})


def test_a_definition_that_names_these_sources_imports_nothing_heavy() -> None:
    code = (
        "import sys, feature_store.sources.adapted\n"
        "print(*{'pandas', 'pyarrow', 'pyspark', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


# --- what is told of columns beside the files -------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"names": (("user", "a"), ("user", "b"))},
        {"names": (("user", "User"), ("other", "user"))},
        {"names": (("day", "DS"),)},
        {"names": (("day", "a`b"),)},
        {"names": (("at", "a"),), "times": (("at", 1),)},
        {"seconds": ("at",), "milliseconds": ("at",)},
        {"seconds": ("at",), "times": (("at", 1),)},
    ],
)
def test_what_is_told_of_columns_must_not_contradict_itself(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Adapted"):
        Adapted(source=DailyFiles(folder="in"), **said)
