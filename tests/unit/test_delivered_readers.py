"""Files are read one by one, strictly, and what is wrong with one is told with its name."""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import re
import zipfile
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt
from feature_store.events.quarantine import event_columns
from feature_store.raw import CORRUPT_RECORD, UNREADABLE
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.files import DailyFiles
from feature_store.sources.readers import Piece, raw_types, read
from tests.delivered import FIRST_DAY, NAMES, csv_text, delivered, put, table

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["csv", "parquet"]


def records(path: Path, names: Sequence[str], delimiter: str = ",") -> list[Any]:
    """Return the rows of a CSV file: a tuple of values, or what is wrong with a line."""
    found: list[Any] = []
    for columns, corrupt in csvfile.batches(path, delimiter, names):
        values = zip(*(column.to_pylist() for column in columns), strict=True)
        found += [bad or row for row, bad in zip(values, corrupt.to_pylist(), strict=True)]
    return found


def write(folder: Path, content: bytes, name: str = "part.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# --- what is a file at all -------------------------------------------------------------------


def refused(folder: Path, kind: Kind, content: str | bytes | pa.Table, name: str = "") -> str:
    """Return why a file is refused before any row of it is read."""
    path = put(folder, FIRST_DAY, name or f"part.{kind}", content)
    columns = event_columns(delivered(folder, kind).stream)
    with pytest.raises(SourceCorrupt) as raised:
        raw_types(path, FIRST_DAY, kind, ",", columns)
    assert raised.value.ds == FIRST_DAY
    text = str(raised.value)
    assert text.startswith(f"source file {path}: ")
    assert text.endswith("Have the file delivered again, or move it away, and run the day again.")
    return text


def zipped(*contents: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"in/{number}.csv", content)
    return stream.getvalue()


GOOD = csv_text(FIRST_DAY)
HEADER, ROWS = GOOD.split("\n", 1)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty: it must begin with a line that names the columns"),
        (b"\n\n", "is empty"),
        (GOOD.encode("utf-16"), "is UTF-16. CSV must be UTF-8"),
        (GOOD.replace("user", "us\u00e9r").encode("latin-1"), "line 1: not UTF-8"),
        (GOOD.replace(",", ";").encode(), "column user is missing; the file has user;item;price"),
        (GOOD.replace("user,", "USER,", 1).encode(), "column user is missing; .*'USER' is another"),
        (GOOD.replace("user,", " user,", 1).encode(), "column user is missing"),
        (
            GOOD.replace("price,", "Price,", 1).encode(),
            "column price is missing; .*'Price' is anoth",
        ),
        (GOOD.replace("price,", "item,", 1).encode(), "column item is there more than once"),
        (ROWS.encode(), "column user is missing; the file has u1,"),
        (b"\0\0\0", "line 1: holds a zero byte"),
        (b'"user,item\n', "line 1: unexpected end of data"),
        (b"not text \xff", "line 1: not UTF-8"),
        (b"PAR1 not text \xff", "is Parquet by its first bytes, and the source is declared"),
        (gzip.compress(GOOD.encode()), r"is gzip by its first bytes: .* if its name ends in \.gz"),
        (zipped(GOOD), r"is a zip by its first bytes: .* if its name ends in \.zip"),
        (
            b"\xef\xbb\xbf\xef\xbb\xbf" + GOOD.encode(),
            r"column user is missing; .*'\\ufeffuser' is",
        ),
        (",".join(f"c{n}" for n in range(99)).encode(), "the file has c0, .*, c29 and 69 more"),
    ],
)
def test_a_csv_file_that_cannot_be_used_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    assert re.search(why, refused(tmp_path, "csv", content))


@pytest.mark.parametrize("count", [0, 2])
def test_a_zip_is_of_one_file(tmp_path: Path, count: int) -> None:
    why = refused(tmp_path, "csv", zipped(*[GOOD] * count), "part.csv.zip")
    assert f"is a zip of {count} files, not of one" in why


def test_a_zip_of_one_file_is_read_and_one_that_is_locked_is_told(tmp_path: Path) -> None:
    path = put(tmp_path, FIRST_DAY, "part.csv.zip", zipped(GOOD))
    assert records(path, ["user", "item"]) == [("u1", "100"), ("u2", "101")]
    locked = bytearray(zipped(GOOD))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert "is encrypted" in refused(tmp_path, "csv", bytes(locked), "part.csv.zip")


@pytest.mark.parametrize(
    "name", ["Price", " price", "price\u00a0", "\u200bprice", "\ufeffPRICE", "'price'", "pr_ice"]
)
def test_a_column_that_looks_like_a_declared_one_is_not_passed_over(
    tmp_path: Path, name: str
) -> None:
    text = refused(tmp_path, "csv", GOOD.replace("price", name))
    assert "column price is missing" in text
    assert f"taken letter by letter: {name!r} is another" in text


def test_a_declared_column_is_no_spelling_of_another(tmp_path: Path) -> None:
    columns = [Column(name=name, dtype="double", known="plan") for name in ("price_1", "price1")]
    path = put(tmp_path, FIRST_DAY, "part.csv", "price1\n1\n")
    assert raw_types(path, FIRST_DAY, "csv", ",", columns) == (None, "string")


def test_a_file_has_the_columns_that_the_source_says_it_must(tmp_path: Path) -> None:
    path = put(tmp_path, FIRST_DAY, "part.csv", GOOD)
    with pytest.raises(
        SourceCorrupt, match=r"part\.csv: column shop is missing; the file has user"
    ):
        raw_types(path, FIRST_DAY, "csv", ",", [], ["item", "shop"])


def test_what_a_csv_file_has_beside_the_declared_columns_is_of_no_interest(tmp_path: Path) -> None:
    lines = GOOD.splitlines()
    text = "\n".join(
        [f",ds,_corrupt_record,x,x,User,{lines[0]}", *(f"0,a,b,c,d,e,{line}" for line in lines[1:])]
    )
    path = write(tmp_path, text.encode())
    assert (
        raw_types(path, FIRST_DAY, "csv", ",", event_columns(delivered(tmp_path).stream))
        == ("string",) * 8
    )
    assert records(path, ["user", "item"]) == [("u1", "100"), ("u2", "101")]


@pytest.mark.parametrize(
    ("column", "values", "why"),
    [
        ("happened_at", [1_767_355_200, 1], "is bigint: nobody can tell seconds from milliseconds"),
        ("happened_at", [1.5, 1.0], "is double: nobody can tell"),
        ("happened_at", pa.array([1, 2], pa.time64("us")), r"is time64\[us\] and cannot become"),
        ("happened_at", [True, False], "is boolean and cannot become the declared timestamp"),
        ("user", [[1], [2]], "no declared type takes it"),
        ("user", [{"a": 1}, None], "no declared type takes it"),
        ("user", pa.array([1, 2], pa.duration("ns")), "no declared type takes it"),
        ("user", pa.array([b"ab", b"cd"], pa.binary(2)), "no declared type takes it"),
        ("stock", [True, False], "is boolean and cannot become the declared int"),
        ("price", pa.array([1, 2], pa.timestamp("ns")), "is timestamp and cannot become"),
        ("clicked", pa.array([1, 2], pa.date32()), "is date and cannot become"),
        ("user", None, "column user is missing; the file has item, price"),
    ],
)  # fmt: skip
def test_a_parquet_column_that_can_never_be_the_declared_one_is_refused(
    tmp_path: Path, column: str, values: Any, why: str
) -> None:
    array = None if values is None else pa.array(values)
    text = refused(tmp_path, "parquet", table(FIRST_DAY, **{column: array}))
    assert re.search(why, text)
    assert f"column {column} " in text


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 not parquet PAR1", GOOD.encode()])
def test_a_corrupt_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "is not a readable Parquet file" in refused(tmp_path, "parquet", content)


def test_a_parquet_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    doubled = table(FIRST_DAY).append_column("user", pa.array(["x", "y"]))
    assert "column user is there more than once" in refused(tmp_path, "parquet", doubled)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_a_file_may_lack_is_told_by_the_definition(tmp_path: Path, kind: Kind) -> None:
    columns = event_columns(delivered(tmp_path, kind).stream)
    short = table(FIRST_DAY, price=None, click_known_at=None)
    text = ",".join(short.column_names) + "\n"
    path = put(tmp_path, FIRST_DAY, "part", text if kind == "csv" else short)
    types = raw_types(path, FIRST_DAY, kind, ",", columns)
    lacking = {c.name for c, raw_type in zip(columns, types, strict=True) if raw_type is None}
    assert lacking == {"price", "click_known_at"}


# --- CSV, line by line -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [("1", "2")]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n3,4", [("1", "2"), ("3", "4")]),
        (b"a,b\r1,2\r", [("1", "2")]),
        (b'a,b\n\n1,\n\n,""\n', [("1", None), (None, None)]),
        (b'"a","b"\n"1\n2","3\r\n4"\n', [("1\n2", "3\r\n4")]),
        (b'a,b\n1,"2\n', ['line 2: not CSV (unexpected end of data): 1,"2']),
        (b"a,b\n1\n1,2,3\n", [
            "line 2: 1 values, the header has 2: 1", "line 3: 3 values, the header has 2: 1,2,3",
        ]),
        (b"a,b\nL\xe9a,1\nL\xf3a,2\nok,3\n", [
            "line 2: not UTF-8: L\\xe9a,1", "line 3: not UTF-8: L\\xf3a,2", ("ok", "3"),
        ]),
        (b"a,b\n1\x00,2\n3,4\n", ["line 2: holds a zero byte: 1\x00,2", ("3", "4")]),
        (b'a,b\n1,"x\n2,y\n3,"z"\n4,w\n', [
            "line 2: not CSV (',' expected after '\"'): 1,\"x",
            "line 3: not CSV (',' expected after '\"'): 2,y",
            "line 4: not CSV (',' expected after '\"'): 3,\"z\"",
            ("4", "w"),
        ]),
        (b"a,b\n", []),
    ],
)  # fmt: skip
def test_lines_are_split_strictly(tmp_path: Path, content: bytes, rows: list[Any]) -> None:
    assert records(write(tmp_path, content), ["a", "b"]) == rows


def test_a_quote_that_is_never_closed_takes_in_no_more_than_a_value_may_hold(
    tmp_path: Path,
) -> None:
    filler = b"x" * 99
    lines = [b"a,b", b'1,"open', *[b"2," + filler] * 30_000]
    found = records(write(tmp_path, b"\n".join(lines)), ["a", "b"])
    assert len(found) == 30_001
    assert found[0] == 'line 2: not CSV (field larger than field limit (1048576)): 1,"open'
    assert found[-1] == ("2", filler.decode())
    told = sum(isinstance(row, str) for row in found)
    assert 10_000 < told < 11_000


@pytest.mark.parametrize("cut", [1, 9, 30, 200, -1, -9])
def test_a_gzip_that_is_cut_short_tells_so_in_its_last_row(tmp_path: Path, cut: int) -> None:
    lines = "".join(f"{random.Random(n).random()},{n}\n" for n in range(3_000))
    whole = gzip.compress(f"a,b\n{lines}".encode())
    path = write(tmp_path, whole[:cut], "part.csv.gz")
    piece = Piece(path=str(path), day=FIRST_DAY, format="csv", delimiter=",")
    marks = [pa.field(name, pa.string()) for name in (CORRUPT_RECORD, UNREADABLE, "source_file")]
    target = pa.schema([("ds", pa.date32()), ("a", pa.string()), *marks])
    rows = pa.Table.from_batches(list(read(piece, ["a"], target))).to_pylist()
    assert f"source file {path}: cannot be read" in rows[-1][UNREADABLE]
    assert not any(row[UNREADABLE] for row in rows[:-1])


text_values = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


@given(
    rows=st.lists(st.tuples(text_values, text_values, text_values), max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    bom=st.booleans(),
)
def test_what_a_writer_of_csv_wrote_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, str]],
    delimiter: str,
    end: str,
    quoting: Any,
    bom: bool,
) -> None:
    # Python's writer leaves a bare \r without quotes: where it ends a line it is part of the end.
    assume(quoting == csv.QUOTE_ALL or "\r" not in "".join(chain(*rows)))
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(
        [("a", "b", "c"), *rows]
    )
    encoded = stream.getvalue().encode("utf-8-sig" if bom else "utf-8")
    path = write(tmp_path_factory.mktemp("csv"), encoded)
    assert records(path, ["c", "a"], delimiter) == [(c or None, a or None) for a, _, c in rows]


@given(content=st.binary(max_size=60))
def test_of_any_bytes_each_line_is_read_or_told(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = write(tmp_path_factory.mktemp("csv"), b"a,b\n" + content)
    for row in records(path, ["a", "b"]):
        assert isinstance(row, tuple) or row.startswith("line ")
        text = "".join(v or "" for v in row) if isinstance(row, tuple) else row
        assert "\ufffd" not in text or "\ufffd".encode() in content


# --- Parquet ---------------------------------------------------------------------------------


def test_a_large_parquet_file_is_shared_out_by_its_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"n": list(range(100))}), path, row_group_size=10)
    assert parquetfile.parts(path) == [None]
    monkeypatch.setattr(parquetfile, "_PIECE_BYTES", path.stat().st_size // 3)
    pieces = parquetfile.parts(path)
    assert len(pieces) in (3, 4)
    target = pa.schema([("n", pa.int64())])
    found = [
        value
        for part in pieces
        for (column,), _ in parquetfile.batches(path, part, {"n": target.field("n").type})
        for value in column.to_pylist()
    ]
    assert found == list(range(100))


def test_a_parquet_file_that_is_damaged_inside_tells_so_in_its_last_row(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"n": list(range(50_000))}), path, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[4:400] = b"\xff" * 396
    path.write_bytes(content)
    piece = Piece(path=str(path), day=FIRST_DAY, format="parquet", delimiter=",")
    marks = [pa.field(name, pa.string()) for name in (CORRUPT_RECORD, UNREADABLE, "source_file")]
    target = pa.schema([("ds", pa.date32()), ("n", pa.int64()), *marks])
    *_, last = read(piece, ["n"], target)
    assert f"source file {path}: is not a readable" in last.to_pylist()[-1][UNREADABLE]


@given(
    values=st.lists(st.none() | st.integers(-(2**62), 2**62), min_size=1, max_size=5),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
    zone=st.sampled_from([None, "UTC", "Asia/Kolkata"]),
)
def test_an_instant_is_kept_to_the_microsecond_or_told(
    values: list[int | None], unit: str, zone: str | None
) -> None:
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    problems: list[str | None] = [None] * len(values)
    target = pa.timestamp("us", "UTC")
    array = pa.array(values, pa.int64()).cast(pa.timestamp(unit, zone))
    found = parquetfile._instants(array, "at", target, problems)
    assert found.type == target
    for value, got, problem in zip(
        values, found.cast(pa.int64()).to_pylist(), problems, strict=True
    ):
        if value is None:
            assert (got, problem) == (None, None)
        elif -62_135_596_800 <= value // per_second < 253_402_300_800:
            assert (got, problem) == (value * 10**6 // per_second, None)
        else:
            assert got is None
            assert str(value) in str(problem)


@given(days=st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=5))
def test_a_day_is_kept_or_told(days: list[int | None]) -> None:
    problems: list[str | None] = [None] * len(days)
    array = pa.array(days, pa.int32()).cast(pa.date32())
    found = parquetfile._days(array, "born", problems).cast(pa.int32()).to_pylist()
    for day, got, problem in zip(days, found, problems, strict=True):
        if day is None or -719_162 <= day <= 2_932_896:
            assert (got, problem) == (day, None)
        else:
            assert got is None
            assert f"column born is outside the years 1 to 9999: {day} days" in str(problem)


def test_an_old_timestamp_beyond_nanoseconds_does_not_come_round_again(tmp_path: Path) -> None:
    far = datetime(9999, 12, 31)
    path = tmp_path / "part.parquet"
    array = pa.array([far, datetime(2026, 1, 2, 12)], pa.timestamp("us"))
    pq.write_table(pa.table({"at": array}), path, use_deprecated_int96_timestamps=True)
    assert pq.read_metadata(path).schema.column(0).physical_type == "INT96"
    target = pa.schema([("at", pa.timestamp("us", "UTC"))])
    (((column,), _),) = parquetfile.batches(path, None, {"at": target.field("at").type})
    assert column.cast(pa.timestamp("us")).to_pylist() == array.to_pylist()


# --- the source ------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        DailyFiles(folder="x", delimiter=delimiter)


def test_a_file_that_is_another_days_is_refused(tmp_path: Path) -> None:
    later = FIRST_DAY + timedelta(days=3)
    put(tmp_path, FIRST_DAY, "part.csv", GOOD)
    put(tmp_path, later, "other.csv", GOOD)
    source = DailyFiles(folder=str(tmp_path))
    source.refuse_copies([FIRST_DAY])
    with pytest.raises(
        SourceCorrupt, match=r"other\.csv: holds the very bytes of .*part\.csv"
    ) as e:
        source.refuse_copies([FIRST_DAY, later])
    assert e.value.ds == later
    put(tmp_path, later, "other.csv", HEADER)
    put(tmp_path, FIRST_DAY, "part.csv", HEADER)
    source.refuse_copies([FIRST_DAY, later])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("a link to nothing", "lost.csv: cannot be read (No such file or directory)"),
        ("a link to itself", "lost.csv: cannot be read (Too many levels of symbolic links)"),
        ("a pipe", "lost.csv: is no file but a pipe or a device"),
        ("a folder", "lost.csv: is a folder; the files in it are found only if"),
        ("another alphabet", "l\\xf6st.csv: has a name that is not UTF-8"),
    ],
)
def test_what_is_put_down_as_a_file_and_is_none_takes_its_day_and_no_other(
    tmp_path: Path, how: str, why: str
) -> None:
    later = FIRST_DAY + timedelta(days=1)
    folder = put(tmp_path, FIRST_DAY, "part.csv", GOOD).parent
    put(tmp_path, later, "part.csv", csv_text(later))
    lost = folder / "lost.csv"
    if how.startswith("a link"):
        lost.symlink_to("lost.csv" if how == "a link to itself" else "nowhere.csv")
    elif how == "a pipe":
        os.mkfifo(lost)
    elif how == "a folder":
        lost.mkdir()
    else:
        Path(os.fsdecode(os.fsencode(folder) + b"/l\xf6st.csv")).write_text(GOOD)
    source = DailyFiles(folder=str(tmp_path))
    source.prefetch([FIRST_DAY, later])
    source.refuse_copies([later])
    assert source.fingerprint(later)
    with pytest.raises(SourceCorrupt) as raised:
        source.fingerprint(FIRST_DAY)
    assert why in str(raised.value)
    assert raised.value.ds == FIRST_DAY
    assert str(raised.value).encode()


def test_a_folder_that_is_not_named_like_a_file_is_passed_over(tmp_path: Path) -> None:
    path = put(tmp_path, FIRST_DAY, "part.csv", GOOD)
    (path.parent / "archive").mkdir()
    assert DailyFiles(folder=str(tmp_path)).files(FIRST_DAY) == [path]


def test_a_snapshot_is_of_a_day_that_there_is(tmp_path: Path) -> None:
    for named in ("2026-02-30", "0001-01-01", "9999-99-99", "2026-01-02"):
        (tmp_path / f"ds={named}").mkdir()
        (tmp_path / f"ds={named}" / "part.csv").write_text(GOOD)
    assert DailyFiles(folder=str(tmp_path)).snapshot_days() == [FIRST_DAY]


def test_a_copy_that_cannot_be_read_is_told_of_its_own_day(tmp_path: Path) -> None:
    later = FIRST_DAY + timedelta(days=3)
    for day in (FIRST_DAY, later):
        put(tmp_path, day, "part.csv", b"")
    with pytest.raises(SourceCorrupt, match="is empty") as raised:
        DailyFiles(folder=str(tmp_path)).refuse_copies([later])
    assert raised.value.ds == later


def test_every_name_is_one_of_the_base(tmp_path: Path) -> None:
    assert tuple(column.name for column in delivered(tmp_path).stream.columns) == NAMES
