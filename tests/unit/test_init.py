"""Files that nobody described are guessed to be a pipeline, or refused with what to do."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_store.definition import Definition
from feature_store.errors import DefinitionError, UsageError
from jobs.cli.guessed import print_guess
from jobs.init.code import Call, Item, assignment, call, literal, several
from jobs.init.guess import guess
from jobs.init.layout import lay_out
from jobs.init.look import look, look_at_each
from jobs.init.names import declared, in_expression
from jobs.init.parts import Guess
from jobs.init.render import render
from jobs.init.trial import loaded

FIRST = date(2026, 1, 1)
DAYS = 10


# --- tables of the shapes that people have ----------------------------------------------------


def clicks(rows: int = 600, seed: int = 1) -> pd.DataFrame:
    """An event log with a label."""
    chance = np.random.default_rng(seed)
    seconds = np.sort(chance.integers(0, DAYS * 86_400, rows))
    frame = pd.DataFrame(
        {
            "impression_id": chance.permutation(rows) + 5_000,
            "user_id": chance.integers(1, 40, rows),
            "item": chance.choice(["shoes", "hats", "bags"], rows),
            "price": chance.lognormal(2, 2, rows).round(2),
            "age": chance.integers(18, 90, rows),
            "hour": seconds // 3600 % 24,
            "postcode": [f"{n:05d}" for n in chance.integers(1, 40, rows)],
            "remark": [f"seen on page {n} of the shop" for n in range(rows)],
            "shop": "main",
            "coupon": np.nan,
            "shown_at": pd.Timestamp(FIRST) + pd.to_timedelta(seconds, unit="s"),
            "clicked": chance.integers(0, 2, rows),
        }
    )
    frame["clicked_at"] = frame["shown_at"].where(frame["clicked"] == 1)
    frame["dwell"] = chance.integers(0, 20, rows) + 30 * frame["clicked"]
    frame["paid"] = (frame["price"] + 0.01).where(frame["clicked"] == 1, 0.0)
    return frame


def put(path: Path, frame: pd.DataFrame, **said: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, **said)
    return path


def by_day(folder: Path, frame: pd.DataFrame, name: str = "ds={day}/part.csv") -> Path:
    """Write a frame as daily files, by its `shown_at`."""
    for day, rows in frame.groupby(frame["shown_at"].dt.date):
        put(folder / name.format(day=day), rows)
    return folder


def guessed(*paths: Path) -> Guess:
    return guess(look_at_each(paths))


def features(found: Guess) -> dict[str, str]:
    return {feature.name: feature.kind for feature in found.features}


def dtypes(found: Guess) -> dict[str, str]:
    return {column.name: column.dtype for column in found.columns}


def left_out(found: Guess) -> dict[str, str]:
    return {left.theirs: left.why for left in found.left_out}


def made_of(found: Guess, name: str = "shop") -> Definition:
    """Return the pipeline that the rendered modules define."""
    return loaded(render(found, name))


def formatted(text: str) -> str:
    """Return a module as ruff would write it."""
    config = Path(__file__).resolve().parents[2] / "pyproject.toml"
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "format", "--config", config, "-"],
        input=text, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


# --- an event log with a label ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.csv.gz"])
def test_an_undated_log_is_guessed_part_by_part(tmp_path: Path, name: str) -> None:
    found = guessed(put(tmp_path / name, clicks()))
    assert (found.source.kind, found.source.day_column) == ("undated", "shown_at")
    assert (found.source.first_day, found.source.last_day) == (FIRST, date(2026, 1, 10))
    assert found.keys.columns == ("impression_id",)
    assert found.event.column == "shown_at"
    assert found.label is not None
    assert (found.label.name, found.label.expression) == ("clicked", "clicked")
    assert found.label.rate == pytest.approx(clicks()["clicked"].mean())
    assert features(found) == {
        "user_id": "categorical",
        "item": "categorical",
        "hour": "categorical",
        "postcode": "categorical",
        "price": "numeric",
        "age": "numeric",
    }
    assert dtypes(found) == {
        "impression_id": "bigint",
        "user_id": "bigint",
        "item": "string",
        "price": "double",
        "age": "int",
        "hour": "int",
        "postcode": "string",
        "shown_at": "timestamp",
        "clicked": "boolean",
        "known_at": "timestamp",
    }
    assert [(time.name, time.hours) for time in found.times] == [("known_at", -1)]
    why = left_out(found)
    assert set(why) == {
        "impression_id", "remark", "shop", "coupon", "clicked_at", "paid", "dwell"
    }  # fmt: skip
    assert why["shop"] == "the same in every row: main"
    assert why["coupon"] == "no row has a value"
    assert why["remark"].startswith("free text")
    assert why["clicked_at"] == "is null exactly where clicked is false: it tells the label"
    assert why["paid"] == "is 0 or null exactly where clicked is false: it tells the label"
    assert why["dwell"].startswith("is larger in every row where clicked is true")
    assert [history.keys for history in found.histories] == [("user_id",), ("item",)]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("ds={day}/part.csv", "ds={ds}/*"),
        ("dt={day}/a/part.csv", "dt={ds}/*/*"),
        ("clicks-{day}.csv", "clicks-{ds}.csv"),
        ("{day}/clicks.parquet", "{ds}/*"),
        ("clicks of {day}.csv", "clicks*of*{ds}.csv"),
    ],
)
def test_daily_files_are_found_by_the_day_in_their_path(
    tmp_path: Path, name: str, pattern: str
) -> None:
    found = guessed(by_day(tmp_path / "in", clicks(), name))
    assert (found.source.kind, found.source.pattern) == ("daily", pattern)
    assert found.source.place == str(tmp_path / "in")
    assert found.source.first_day == FIRST
    made = made_of(found)
    assert made.stream.source.fingerprint(FIRST) != made.stream.source.fingerprint(date(2026, 1, 2))
    assert made.stream.event_days == (0, 0)
    assert made.stream.last_day is None


def test_some_daily_files_that_are_named_are_their_folder(tmp_path: Path) -> None:
    by_day(tmp_path / "2025-12-01" / "in", clicks())
    paths = sorted(tmp_path.glob("*/in/ds=*/part.csv"))
    found = guess([look(paths)])
    assert found.source.place == str(tmp_path / "2025-12-01" / "in")
    assert found.source.pattern == "ds={ds}/*"
    whole = lay_out([tmp_path / "2025-12-01" / "in"])
    for pattern in ("ds=*", "ds=*/*.csv", "ds=2026-*/part.csv"):
        found_so = lay_out([tmp_path / "2025-12-01" / "in" / pattern])
        assert (found_so.files, found_so.pattern) == (whole.files, whole.pattern)


def test_a_file_that_is_named_after_the_day_of_its_export_is_undated(tmp_path: Path) -> None:
    found = guessed(put(tmp_path / "clicks-2026-02-01.csv", clicks()))
    assert (found.source.kind, found.source.day_column) == ("undated", "shown_at")


def test_events_that_lie_a_day_behind_their_file_are_told(tmp_path: Path) -> None:
    frame = clicks()
    for day, rows in frame.groupby(frame["shown_at"].dt.date):
        put(
            tmp_path / f"ds={day}" / "part.csv",
            rows.assign(shown_at=rows["shown_at"] + pd.Timedelta(hours=5)),
        )
    found = guessed(tmp_path)
    assert (found.event.column, found.event.days) == ("shown_at", (0, 1))
    assert made_of(found).stream.event_days == (0, 1)


# --- when things are known --------------------------------------------------------------------


def test_columns_that_say_when_things_are_known_are_taken(tmp_path: Path) -> None:
    frame = clicks()
    midnight = frame["shown_at"].dt.floor("D")
    frame["planned_at"] = midnight - pd.Timedelta(hours=6)
    frame["click_known_at"] = frame["shown_at"] + pd.Timedelta(hours=2)
    found = guessed(put(tmp_path / "log.csv", frame))
    assert [(known.name, known.at) for known in found.knowns] == [
        ("row", "planned_at"),
        ("outcome", "click_known_at"),
    ]
    assert found.times == ()
    made = made_of(found)
    assert made.stream.known("outcome").after_event
    assert made.stream.column("click_known_at").known == "outcome"


def test_a_row_that_is_written_during_its_day_is_not_known_before_it(tmp_path: Path) -> None:
    frame = clicks().assign(
        created_at=lambda f: f["shown_at"] + pd.Timedelta(minutes=1),
        known_at=lambda f: f["shown_at"],
    )
    found = guessed(put(tmp_path / "log.csv", frame.drop(columns="known_at")))
    assert [known.at for known in found.knowns] == ["known_at", "created_at"]
    assert [time.name for time in found.times] == ["known_at"]
    found = guessed(put(tmp_path / "log.csv", frame))
    assert found.knowns[0].at == "known_at"
    assert "100% of the rows are known only after their day began" in found.notes[-1]


# --- snapshots --------------------------------------------------------------------------------


def users(rows: int = 60) -> pd.DataFrame:
    chance = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "user_id": [f"u{n}" for n in range(rows)],
            "country": chance.choice(["de", "fr"], rows),
            "visits": chance.integers(0, 500, rows),
            "is_member": chance.integers(0, 2, rows).astype(bool),
            "churned": chance.choice(["yes", "no"], rows),
        }
    )


def test_a_snapshot_of_entities_that_is_delivered_daily_has_its_day_for_a_time(
    tmp_path: Path,
) -> None:
    for n in range(4):
        put(tmp_path / f"ds=2026-01-0{n + 1}" / "users.csv", users().sample(frac=1, random_state=n))
    found = guessed(tmp_path)
    assert found.keys.columns == ("user_id",)
    assert [(time.name, time.hours) for time in found.times] == [
        ("as_of", 0),
        ("known_at", -1),
        ("outcome_known_at", 23),
    ]
    assert found.label is not None
    assert found.label.expression == "churned = 'yes'"
    assert found.label.others == ("is_member",)
    assert features(found)["user_id"] == "categorical"
    assert made_of(found).stream.event_time == "as_of"


def test_an_undated_snapshot_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = put(tmp_path / "users.csv", users())
    with pytest.raises(UsageError, match=r"no column says the day of a row .*ds=2026-01-02/part"):
        guessed(path)


def test_a_snapshot_with_a_date_is_of_that_day(tmp_path: Path) -> None:
    frame = pd.concat([users().assign(date=f"2026-01-0{n + 1}") for n in range(3)])
    found = guessed(put(tmp_path / "users.csv", frame))
    assert (found.source.day_column, found.event.column) == ("date", "date")
    assert dtypes(found)["date"] == "date"
    assert [time.name for time in found.times] == ["known_at", "outcome_known_at"]
    made_of(found)


# --- what values are --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2, 3], "int"),
        ([1, 2, 1 << 40], "bigint"),
        ([1.0, np.nan, 3.0], "int"),
        ([1.5, 2.5, 3.0], "double"),
        ([0.0, 1.0, np.nan], "boolean"),
        ([True, False, True], "boolean"),
        (["007", "012", "100"], "string"),
        (["yes", "no", "no"], "string"),
        (["1", "NA", "3"], "int"),
        (["1.5", "NA", "nan"], "double"),
        (["0", "1", "NULL"], "boolean"),
        (["2026-01-02", "2026-01-03", "-"], "date"),
        (["007", "012", "NA"], "string"),
        (["NA", "n/a", "NA"], "string"),
        (["1", "NA", "x"], "string"),
        (["1e3", ".5", "-2"], "double"),
        (["true", "False", "t"], "boolean"),
        (["2026-01-02", "2026-01-03", None], "date"),
        (["2026-01-02 10:00", "2026-01-03T11:00:00Z", None], "timestamp"),
        ([1767355200, 1767355300, 1767441600], "timestamp"),
        ([1767355200000, 1767355300123, 1767441600000], "timestamp"),
        ([1 << 60, -(1 << 60), 0], "bigint"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_type_of_a_column_is_that_of_all_its_values(
    tmp_path: Path, values: list[Any], dtype: str, kind: str
) -> None:
    from jobs.init.seen import Seen

    frame = pd.DataFrame({"x": values * 4})
    found = Seen.of(look([put(tmp_path / f"x.{kind}", frame)])).kinds["x"]
    assert found.dtype == dtype
    assert found.why


@pytest.mark.parametrize(("factor", "unit"), [(1, "seconds"), (1000, "milliseconds")])
def test_times_that_are_numbers_are_told_by_their_range(
    tmp_path: Path, factor: int, unit: str
) -> None:
    frame = clicks()
    frame["ts"] = frame["shown_at"].astype("datetime64[s]").astype("int64") * factor
    frame = frame.drop(columns=["shown_at", "clicked_at"])
    found = guessed(put(tmp_path / "log.csv", frame))
    assert (found.source.day_column, found.source.unit) == ("ts", unit)
    assert dtypes(found)["ts"] == "timestamp"
    made = made_of(found)
    assert f'unit="{unit}"' in render(found, "shop")["feature_store/streams/shop.py"]
    assert made.stream.source.fingerprint(FIRST)


def test_words_that_stand_for_a_null_are_told_of_where_they_are_no_text(tmp_path: Path) -> None:
    frame = clicks()
    frame["age"] = frame["age"].astype(object).where(frame.index % 7 > 0, "NA")
    frame["item"] = frame["item"].where(frame.index % 5 > 0, "none")
    found = guessed(put(tmp_path / "log.csv", frame))
    assert dtypes(found)["age"] == "int"
    assert features(found)["age"] == "numeric"
    assert found.null_words == ("NA",)
    assert made_of(found).stream.source.nulls == ("NA",)


# --- what there is no good guess of -----------------------------------------------------------

REFUSED: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", r"empty\.csv: is empty: it must begin with a line that names the columns"),
    ("header.csv", b"user,at,y\n", r"header\.csv: holds a header and no row"),
    ("bare.csv", b"u1,2026-01-02,1\nu2,2026-01-02,0\n", r"column '2026-01-02': the first line"),
    ("twice.csv", b"a,b,a\n1,2,3\n", r"column 'a' is there more than once"),
    ("latin.csv", "user,at\nL\u00e9a,2026-01-02\n".encode("latin-1"), r"line 2: not UTF-8"),
    ("latin.csv", "us\u00e9r,at\na,2026-01-02\n".encode("latin-1"), r"line 1: not UTF-8"),
    ("ragged.csv", b"user,at\na,2026-01-02\nb\n", r"line 3: 1 values, the header has 2"),
    ("wide.csv", "user,at\n".encode("utf-16"), r"is UTF-16\. CSV must be UTF-8"),
    ("us.csv", b"user,date\na,01/31/2026\nb,02/01/2026\n", r"column date: '01/31/2026' is no day"),
    ("compact.csv", b"user,n\na,20260131\nb,20260201\n", r"column n: '20260131' is no day"),
    ("gaps.csv", b"user,at\na,2026-01-31\nb,\nc,2026-02-01\n", r"column at: 1 of 3 rows have no"),
    ("never.csv", b"user,at\na,2026-01-31\nb,2026-02-30\n", r"column at: 1 of 2 rows have no"),
    ("none.csv", b"user,y\na,1\nb,0\n", r"no column says the day of a row \(there are user, y\)"),
    ("keyless.csv", b"x,at\n1.5,2026-01-31\n,2026-01-31\n", r""),
    ("no.txt", b"a", r"is neither \.csv"),
    ("bad.parquet", b"PAR1nothing", r"is not a readable Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "told"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_file_of_which_nothing_can_be_made_is_one_error_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if not told:
        assert guessed(path).keys.duplicates or guessed(path).keys.columns
        return
    with pytest.raises(UsageError, match=told) as raised:
        guessed(path)
    assert str(path) in str(raised.value)


def test_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.csv or \.parquet file"):
        guessed(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        guessed(tmp_path / "gone.csv")
    with pytest.raises(UsageError, match="no file was named"):
        guess([])
    put(tmp_path / "a.csv", users())
    put(tmp_path / "a.parquet", users())
    with pytest.raises(UsageError, match="some are CSV and some Parquet"):
        look([tmp_path])


def test_lines_of_daily_files_that_cannot_be_read_are_noted(tmp_path: Path) -> None:
    by_day(tmp_path, clicks())
    path = tmp_path / f"ds={FIRST}" / "part.csv"
    path.write_text(path.read_text() + "half a line\n")
    found = guessed(tmp_path)
    assert found.notes[0].startswith("1 line goes to quarantine as malformed")
    assert str(path) in found.notes[0]


def test_names_that_tables_need_or_that_no_definition_holds_are_told_beside_the_files(
    tmp_path: Path,
) -> None:
    frame = clicks().rename(
        columns={"user_id": "userId", "item": "Item Name", "hour": "score", "postcode": "split"}
    )
    frame = frame.assign(ds=frame["shown_at"].dt.date, ITEM=1, v_rank=frame["age"] % 7)
    frame["from"] = frame["clicked"]
    frame["Item name"] = "x"
    frame = frame.drop(columns=["clicked", "shown_at", "clicked_at"])
    frame.insert(0, "Unnamed: 0", range(len(frame)))
    found = guessed(put(tmp_path / "log.csv", frame))
    assert (found.source.day_column, found.event.column) == ("ds", "as_of")
    assert found.names["user_id"] == "userId"
    assert found.names["item_name"] == "Item Name"
    assert {"score_given", "split_given"} <= set(dtypes(found))
    assert features(found)["of_v_rank"] == "categorical"
    assert left_out(found)["Unnamed: 0"].startswith("counts the rows")
    assert "nothing but case" in left_out(found)["Item name"]
    assert found.label is not None
    assert found.label.expression == "`from`"
    made_of(found)


def test_without_a_label_it_is_said_what_to_write(tmp_path: Path) -> None:
    frame = clicks().drop(columns=["clicked", "clicked_at", "paid", "dwell"])
    found = guessed(put(tmp_path / "log.csv", frame))
    assert found.label is None
    assert 'expression="price > 0"' in found.no_label
    with pytest.raises(DefinitionError, match="CHANGE_ME"):
        made_of(found)


@pytest.mark.parametrize(
    ("columns", "chosen", "others"),
    [
        ({"is_weekend": 2, "converted": 3}, "converted", ("is_weekend",)),
        ({"is_new": 2, "is_late": 3, "target": 4}, "target", ("is_late", "is_new")),
        ({"something": 2}, "something", ()),
        ({"y": 2}, "y", ()),
    ],
)
def test_the_likeliest_label_comes_first_and_the_others_are_named(
    tmp_path: Path, columns: dict[str, int], chosen: str, others: tuple[str, ...]
) -> None:
    frame = clicks().drop(columns=["clicked", "clicked_at", "paid", "dwell"])
    numbers = np.arange(len(frame))
    frame = frame.assign(**{name: numbers % every == 0 for name, every in columns.items()})
    found = guessed(put(tmp_path / "log.csv", frame))
    assert found.label is not None
    assert (found.label.name, found.label.others) == (chosen, others)


def test_a_pair_of_numbers_is_a_label_if_its_name_says_so(tmp_path: Path) -> None:
    frame = clicks().assign(target=lambda f: f["clicked"] + 1)
    frame = frame.drop(columns=["clicked", "clicked_at", "paid", "dwell"])
    found = guessed(put(tmp_path / "log.csv", frame))
    assert found.label is not None
    assert found.label.expression == "target = 2"
    assert found.label.rate == pytest.approx(clicks()["clicked"].mean())
    made_of(found)


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_what_is_kept_of_a_long_table_is_bounded_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("jobs.init.look.SAMPLE_ROWS", 100)
    monkeypatch.setattr("jobs.init.facts._MOST_VALUES", 50)
    table = look([put(tmp_path / name, clicks())])
    assert (table.rows, table.sample.num_rows, table.is_whole) == (600, 100, False)
    ids = table.column("impression_id")
    assert (ids.distinct, ids.is_exact, ids.minimum, ids.maximum) == (50, False, 5000, 5599)
    found = guess([table])
    assert found.keys.why == "unique within a day by itself, in the first 100 rows"
    assert found.notes[0] == "keys, times and leaks were looked for in 100 of 600 rows"
    assert found.source.last_day == date(2026, 1, 10)


def test_a_day_far_from_the_others_is_noted(tmp_path: Path) -> None:
    frame = clicks()
    frame.loc[0, "shown_at"] = pd.Timestamp("1900-01-01")
    found = guessed(put(tmp_path / "log.csv", frame))
    assert found.notes[-1].startswith("rows lie on 11 of the 46,0")


def test_another_table_beside_the_rows_is_told_by_what_joins_it(tmp_path: Path) -> None:
    log = put(tmp_path / "log.csv", clicks())
    side = pd.DataFrame({"user_id": range(1, 40), "is_member": [n % 2 for n in range(39)]})
    found = guessed(put(tmp_path / "users.csv", side), log)
    assert found.title == f"file {log}"
    assert [(s.title, s.keys) for s in found.sides] == [
        (f"file {tmp_path / 'users.csv'}", ("user_id",))
    ]
    text = render(found, "shop")["feature_store/definitions/shop.py"]
    assert formatted(text) == text
    assert "users.csv has user_id too: a Lookup could join it" in text.replace("\n# ", " ")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_are_enough_for_a_guess(tmp_path: Path, rows: int) -> None:
    found = guessed(put(tmp_path / "log.csv", clicks().head(rows)))
    assert found.source.day_column == "shown_at"
    assert found.notes[-1].startswith("the files hold 1 day: ")
    for text in render(found, "shop").values():
        assert formatted(text) == text


def test_columns_of_every_parquet_type_are_taken_or_left_out(tmp_path: Path) -> None:
    rows = 40
    numbers = range(rows)
    at = pa.array([datetime(2026, 1, 1 + n % 5, 12) for n in numbers], pa.timestamp("ns"))
    table = pa.table(
        {
            "id": pa.array(numbers, pa.uint64()),
            "user": pa.array([f"u{n % 7}" for n in numbers]).dictionary_encode(),
            "blob": pa.array([b"x", b"y"] * 20),
            "price": pa.array([Decimal(n).scaleb(-2) for n in numbers], pa.decimal128(9, 2)),
            "weight": pa.array([n / 3 for n in numbers], pa.float32()),
            "level": pa.array([n % 3 for n in numbers], pa.int8()),
            "tags": pa.array([[n] for n in numbers]),
            "took": pa.array(numbers, pa.duration("s")),
            "nothing": pa.nulls(rows),
            "born": pa.array([date(1990, 1, 1 + n % 28) for n in numbers]),
            "at": at,
            "local_at": at.cast(pa.timestamp("us", "Europe/Paris")),
            "y": pa.array([n % 2 == 0 for n in numbers]),
        }
    )
    pq.write_table(table, tmp_path / "log.parquet", row_group_size=7)
    found = guessed(tmp_path / "log.parquet")
    assert (found.source.day_column, found.keys.columns) == ("at", ("id",))
    assert dtypes(found) == {
        "id": "bigint", "user": "string", "blob": "string", "price": "double", "weight": "double",
        "level": "int", "at": "timestamp", "y": "boolean", "known_at": "timestamp",
    }  # fmt: skip
    assert left_out(found)["tags"] == "no declared type takes list<element: int64>"
    assert {"took", "nothing", "born", "local_at"} <= set(left_out(found))
    made_of(found)


# --- shapes that are drawn --------------------------------------------------------------------


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(["csv", "parquet"]),
    delimiter=st.sampled_from([",", ";", "\t"]),
    times=st.sampled_from(["text", "date", "datetime64[ns]", "seconds"]),
    label=st.sampled_from(["clicked", "label", "is_fraud", "y"]),
    truth=st.sampled_from(["int", "bool", "yes", "float"]),
    keys=st.sampled_from(
        [("impression_id",), ("user_id", "item_id"), ("user_id", "item_id", "slot")]
    ),
    shuffled=st.booleans(),
)  # fmt: skip
def test_a_table_that_is_drawn_is_guessed_back(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    delimiter: str,
    times: str,
    label: str,
    truth: str,
    keys: tuple[str, ...],
    shuffled: bool,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    day, user, item, slot = (a.ravel() for a in np.indices((4, 9, 4, 3)))
    width = {1: 3, 2: 1, 3: 3}[len(keys)]
    kept = slot < width
    frame = pd.DataFrame({"user_id": user, "item_id": item + 100, "slot": slot, "day": day})[kept]
    frame["impression_id"] = np.random.default_rng(5).permutation(len(frame)) + 10**6
    frame["when"] = pd.Timestamp(FIRST) + pd.to_timedelta(frame["day"], unit="D")
    frame["noise"] = np.random.default_rng(6).normal(size=len(frame))
    is_true = np.random.default_rng(7).integers(0, 2, len(frame)).astype(bool)
    frame[label] = {
        "int": is_true.astype(int), "bool": is_true, "float": is_true.astype(float),
        "yes": np.where(is_true, "Yes", "No"),
    }[truth]  # fmt: skip
    if times == "text":
        frame["when"] = frame["when"].dt.strftime("%Y-%m-%dT10:00:00Z")
    elif times == "date":
        frame["when"] = frame["when"].dt.strftime("%Y-%m-%d")
    elif times == "seconds":
        frame["when"] = frame["when"].astype("datetime64[s]").astype("int64")
    frame = frame.drop(columns=["day", *({"impression_id", "slot"} - set(keys))])
    if shuffled:
        frame = frame.sample(frac=1, random_state=1)
    path = folder / f"drawn.{kind}"
    found = guessed(put(path, frame, **({"sep": delimiter} if kind == "csv" else {})))
    assert found.source.day_column == "when"
    assert (found.source.first_day, found.source.last_day) == (FIRST, date(2026, 1, 4))
    assert found.keys.columns == keys
    assert found.label is not None
    assert found.label.name == label
    assert found.label.rate == pytest.approx(is_true.mean())
    assert features(found)["user_id"] == "categorical"
    assert features(found)["noise"] == "numeric"
    assert dtypes(found)[label] == ("string" if truth == "yes" else "boolean")
    made = made_of(found)
    assert made.keys == keys
    assert made.stream.source.fingerprint(FIRST) != made.stream.source.fingerprint(date(2026, 1, 2))


# --- what is written and printed --------------------------------------------------------------


def test_rendered_modules_parse_are_formatted_and_hold_what_was_guessed(tmp_path: Path) -> None:
    found = guessed(put(tmp_path / "log.csv", clicks()))
    texts = render(found, "shop")
    assert list(texts) == ["feature_store/streams/shop.py", "feature_store/definitions/shop.py"]
    for text in texts.values():
        ast.parse(text)
        assert formatted(text) == text
        assert max(map(len, text.split("\n"))) <= 100 or str(tmp_path) in text
    stream, definition = texts.values()
    for column in found.columns:
        assert f"# {column.why}" in stream
        assert f'Column(name="{column.name}", dtype="{column.dtype}"' in stream
    for left in found.left_out:
        assert f"# - {left.theirs}: {left.why}" in definition
    made = made_of(found)
    assert made.name == "shop"
    assert made.labels[0].expression == "clicked"
    assert {c.name: c.dtype for c in made.stream.columns} == dtypes(found)
    assert made.histories[0].windows == (7, 28)
    assert made.training.model == "dcnv2"
    assert made.gate.min_auc == 0.5
    assert made.checks[0].kind == "row_count"


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs", "max_ece"),
    [(600, 64, 20, 0.23), (50_000, None, 5, 0.07), (1_000_000, None, 5, 0.05)],
)
def test_a_first_model_is_taught_and_judged_by_how_many_rows_there_are(
    tmp_path: Path, rows: int, batch_size: int | None, epochs: int, max_ece: float
) -> None:
    found = guessed(put(tmp_path / "log.csv", clicks(60)))
    made = made_of(replace(found, rows=rows))
    assert (made.training.batch_size, made.training.epochs) == (batch_size, epochs)
    assert made.gate.max_ece == max_ece


NASTY = 'a"b\'\\\n# [bold]\x1b[31m\u202e{x}"""'


def test_data_in_a_remark_or_a_print_is_no_code_and_no_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = clicks().rename(columns={"item": NASTY.replace("`", "")})
    frame["shop"] = NASTY
    path = put(tmp_path / "it's [red].parquet", frame)
    found = guess([look([path.rename(tmp_path / "its red.parquet")])])
    for text in render(found, "shop").values():
        ast.parse(text)
        assert formatted(text) == text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert NASTY in made_of(found).stream.source.names[0]
    print_guess(found)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[bold]" in out
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["what", "guess", "why"]
    assert any(line.startswith("clicked ") and "boolean" in line for line in lines)


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "a-b", "class", "x" * 80])
def test_a_name_that_no_module_can_have_is_refused(tmp_path: Path, name: str) -> None:
    found = guessed(put(tmp_path / "log.csv", clicks(60)))
    with pytest.raises(UsageError, match="must be lower case letters"):
        render(found, name)


VALUES = st.recursive(
    st.one_of(st.text(max_size=40), st.integers(), st.booleans(), st.dates()).map(literal),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(several),
        st.lists(inner, max_size=4).map(lambda values: call("f", *values)),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(lambda k: call("g", **k)),
        st.tuples(inner, st.text(max_size=120)).map(
            lambda pair: Call("h", (Item(value=pair[0], keyword="x", remarks=(pair[1],)),))
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=6))
def test_code_is_laid_out_as_ruff_does(values: list[Any]) -> None:
    text = "\n".join(assignment(f"name_{n}", value) for n, value in enumerate(values))
    assert formatted(text) == text


@given(st.text(max_size=90))
def test_every_name_has_one_that_a_definition_may_hold(name: str) -> None:
    from feature_store.definition.expressions import columns_of
    from feature_store.definition.naming import is_name
    from feature_store.schema import OF_EVENTS, RESERVED

    found = declared(name)
    assert is_name(found)
    assert found not in {*OF_EVENTS, *RESERVED}
    assert columns_of(in_expression(found), {found}) == {found}
    assert declared(found) == found
