"""Small tables are read without Spark, in the order and with the values that Spark gives."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from feature_store.errors import NightscoreError, TableDamaged, UsageError
from feature_store.home import Home
from feature_store.tables.reader import Reader
from feature_store.text import score_text
from jobs.night.publication import Publication
from jobs.night.published import publication_of, published_rows
from jobs.night.runs import past_runs, recorded
from jobs.night.status import night_statuses
from tests.toy import clicky_definition
from tests.unit.test_cli import run as run

DAY = date(2026, 1, 3)
KEYS, SCORES = ("user", "item"), ("score",)


def publication(day: date, sequence: int, run_id: str, hours: float = 1.0) -> Publication:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Publication(
        ds=day, sequence=sequence, publication=f"{day}/{sequence}", run_id=run_id,
        model_name="lr", model_version=sequence, model_digest="d", inputs="{}", rows=2,
        who="scheduler", why="nightly", published_at=midnight + timedelta(hours=hours),
    )  # fmt: skip


def write(home: Home, table: str, rows: list[dict[str, Any]], by: list[str]) -> None:
    place = Path(home.table("toy", table))
    place.mkdir(parents=True, exist_ok=True)
    write_deltalake(str(place), pa.Table.from_pylist(rows), mode="append", partition_by=by)


def publish(home: Home, *rows: Publication) -> None:
    names = [field.name for field in fields(Publication)]
    write(home, "ledger", [{name: getattr(row, name) for name in names} for row in rows], ["ds"])


def score(home: Home, day: date, run_id: str, scores: dict[tuple[str, str], float]) -> None:
    rows = [
        {"ds": day, "user": user, "item": item, "score": value, "run_id": run_id}
        for (user, item), value in scores.items()
    ]
    write(home, "scores", rows, ["ds", "run_id"])


@pytest.fixture
def reader(home: Home) -> Reader:
    """A home where one day was published twice and another once."""
    publish(home, publication(DAY, 1, "aaa"), publication(DAY - timedelta(days=1), 1, "old"))
    publish(home, publication(DAY, 2, "bbb"))
    score(home, DAY, "aaa", {("u", "x"): 0.1})
    score(
        home, DAY, "bbb", {("u[/x]", "b"): 2e-7, ("u", "b"): 0.5, ("u", "a"): 0.5, ("Z", "a"): 0.25}
    )
    score(home, DAY - timedelta(days=1), "old", {("u", "x"): 0.9})
    return Reader(home, "toy")


def test_the_scores_of_the_newest_publication_come_by_key(reader: Reader) -> None:
    found = list(published_rows(reader, publication_of(reader, DAY), KEYS, SCORES))
    # By bytes, as Spark sorts.
    assert [(r["user"], r["item"]) for r in found] == [
        ("Z", "a"), ("u", "a"), ("u", "b"), ("u[/x]", "b"),
    ]  # fmt: skip
    assert found[0] == {
        "ds": "2026-01-03", "user": "Z", "item": "a", "score": 0.25, "run_id": "bbb",
        "model_name": "lr", "model_version": 2, "published_at": "2026-01-03T01:00:00Z",
    }  # fmt: skip


def test_the_top_is_by_score_and_then_by_key(reader: Reader) -> None:
    of = publication_of(reader, DAY)
    top = list(published_rows(reader, of, KEYS, SCORES, limit=3, is_top=True))
    assert [(r["user"], r["item"]) for r in top] == [("u", "a"), ("u", "b"), ("Z", "a")]


def test_a_day_without_a_publication_says_what_to_run(reader: Reader, home: Home) -> None:
    with pytest.raises(NightscoreError, match=r"nothing is published\. Run: nightscore run"):
        publication_of(reader, DAY + timedelta(days=1))
    with pytest.raises(NightscoreError, match="nothing is published"):
        publication_of(Reader(home, "other"), DAY)


def test_a_run_id_is_never_part_of_a_query(reader: Reader) -> None:
    with pytest.raises(UsageError, match="run_id="):
        list(reader.rows("scores", ["score"], run_id="x' OR '1'='1"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"add": 1}\n', b"\x00" * 40])
def test_a_damaged_log_is_named(reader: Reader, home: Home, content: bytes) -> None:
    log = Path(home.table("toy", "scores")) / "_delta_log"
    newest = max(log.glob("*.json"))
    newest.write_bytes(content)
    with pytest.raises(TableDamaged, match=r"toy\.scores cannot be read at .*Restore the file"):
        list(reader.rows("scores", ["score"]))


def test_a_data_file_that_is_gone_or_no_parquet_is_named(reader: Reader, home: Home) -> None:
    for file in Path(home.table("toy", "scores")).rglob("*.parquet"):
        file.write_bytes(b"PAR1 not at all PAR1")
    with pytest.raises(TableDamaged, match=r"toy\.scores cannot be read"):
        list(reader.rows("scores", ["score"]))
    for file in Path(home.table("toy", "scores")).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(TableDamaged, match=r"toy\.scores cannot be read"):
        list(reader.rows("scores", ["score"]))


@pytest.mark.parametrize("name", ["with space", "50%", "a#b?c", "ü"])
def test_any_folder_may_be_the_home(tmp_path: Path, name: str) -> None:
    home = Home.of(tmp_path / name)
    publish(home, publication(DAY, 1, "aaa"))
    assert publication_of(Reader(home, "toy"), DAY).run_id == "aaa"


def test_nothing_heavy_is_imported_to_read(reader: Reader, home: Home) -> None:
    code = (
        "import sys\nfrom datetime import date\nfrom feature_store.home import Home\n"
        "from feature_store.tables.reader import Reader\n"
        "from jobs.cli.show import published_rows, publication_of\n"
        "reader = Reader(Home.from_env(), 'toy')\n"
        "of = publication_of(reader, date(2026, 1, 3))\n"
        "print(len(list(published_rows(reader, of, ['user'], ['score']))))\n"
        "heavy = ('pyspark', 'py4j', 'pandas', 'numpy', 'pyarrow')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "NIGHTSCORE_HOME": home.root},
    )  # fmt: skip
    assert done.stdout.splitlines() == ["4", "[]"]


def test_bytes_that_no_version_needs_are_counted_and_left_there(reader: Reader, home: Home) -> None:
    place = Path(home.table("toy", "scores"))
    old = list(place.rglob("*.parquet"))
    assert reader.unneeded_bytes("scores", 0) == 0
    rows = pa.table({"ds": [DAY], "user": ["u"], "item": ["i"], "score": [0.5], "run_id": ["new"]})
    write_deltalake(str(place), rows, mode="overwrite", partition_by=["ds", "run_id"])
    assert reader.unneeded_bytes("scores", 0) == sum(file.stat().st_size for file in old)
    assert reader.unneeded_bytes("scores", 168) == 0
    assert reader.unneeded_bytes("events", 0) == 0
    assert all(file.exists() for file in old)


@pytest.mark.parametrize(
    ("score", "text"),
    [(0.0, "0.0000"), (1.0, "1.0000"), (0.5, "0.5000"), (0.00123456, "0.00123"), (2e-9, "2.00e-09"),
     (0.99999, "0.99999000"), (0.0100, "0.0100")],
)  # fmt: skip
def test_a_score_keeps_the_digits_that_tell_it(score: float, text: str) -> None:
    assert score_text(score) == text


@given(st.floats(min_value=0.0, max_value=1.0))
def test_a_score_is_shown_to_three_digits(score: float) -> None:
    shown = float(score_text(score))
    rare = min(score, 1 - score)
    assert math.isclose(shown, score, rel_tol=0, abs_tol=max(rare * 0.0051, 1e-15))


def test_runs_are_kept_however_they_end(home: Home) -> None:
    with recorded(home, "toy", "night", [DAY], who="me", why="nightly") as run:
        run.steps["ingest"] = 1.5
        run.outcome, run.rows = "published", 7
    keep = recorded(home, "toy", "backfill", [], who="me")
    keep.__enter__().days["2026-01-04"] = "published"
    gone = NightscoreError("the source is gone")
    assert not keep.__exit__(type(gone), gone, None)
    file = next(home.local_path("runs", "toy").iterdir())
    file.write_bytes(file.read_bytes() + b'{"kind": "night", "sta')  # a full disk
    with pytest.raises(KeyboardInterrupt), recorded(home, "toy", "score", [DAY], who="me"):
        raise KeyboardInterrupt
    runs = past_runs(home, "toy")
    assert [(r.kind, r.outcome, dict(r.days)) for r in runs] == [
        ("night", "published", {"2026-01-03": "published"}),
        ("backfill", "failed", {"2026-01-04": "published"}),
        ("score", "interrupted", {"2026-01-03": "interrupted"}),
    ]
    assert (runs[0].rows, runs[0].steps, runs[1].error) == (
        7,
        {"ingest": 1.5},
        "the source is gone",
    )
    assert past_runs(home, "toy", most=1) == runs[-1:]


def test_a_record_that_cannot_be_written_stops_nothing(home: Home) -> None:
    home.local_path("runs").parent.mkdir(parents=True)
    home.local_path("runs").write_text("in the way")
    with recorded(home, "toy", "night", [DAY], who="me") as run:
        run.outcome = "published"


def test_status_tells_published_failed_and_left_out_nights(reader: Reader, home: Home) -> None:
    definition = clicky_definition()
    for day, error in ((DAY + timedelta(days=2), "a check failed"), (DAY, "overtaken")):
        with (
            pytest.raises(NightscoreError),
            recorded(home, "toy", "night", [day], who="me"),
        ):
            raise NightscoreError(error)
    found = night_statuses(home, definition, 3)
    assert [(n.ds.day, n.status) for n in found] == [
        (3, "published"), (4, "not run"), (5, "failed"),
    ]  # fmt: skip
    assert found[0].note == "the latest attempt ended with: overtaken"
    assert found[2].note == "a check failed"
    assert (found[0].run_id, found[0].rows, found[0].deadline) == ("bbb", 2, "on time")
    assert [n.ds.day for n in night_statuses(home, definition, 30)] == [2, 3, 4, 5]
    assert night_statuses(home, definition, 30, date(2025, 1, 1)) == []


def test_the_command_shows_status_and_its_exit_code_is_of_the_newest_night(
    run, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_store import definitions

    monkeypatch.setattr(definitions, "names", lambda: ["toy"])
    monkeypatch.setattr(definitions, "load", lambda _: clicky_definition())
    assert (run("status").code, run("status").out) == (0, "no night has run yet\n")
    home = Home.from_env()
    publish(home, publication(DAY, 1, "aaa", hours=9.0))
    shown = run("status")
    assert shown.code == 0
    assert shown.out.splitlines()[0].split() == [
        "pipeline", "ds", "status", "deadline", "rows", "model", "run", "note",
    ]  # fmt: skip
    told = json.loads(run("status", "--json").out)
    assert (told["status"], told["deadline"], told["is_late"]) == ("published", "late by 3 h", True)
    assert run("status", "--ds", "2026-01-04").code == 1
    assert json.loads(run("status", "--ds", "2026-01-04", "--json").out)["status"] == "not run"


def test_the_command_shows_scores(run, monkeypatch: pytest.MonkeyPatch) -> None:
    from feature_store import definitions

    monkeypatch.setattr(definitions, "load", lambda _: clicky_definition())
    home = Home.from_env()
    publish(home, publication(DAY, 1, "bbb"))
    score(home, DAY, "bbb", {("u[/x]", "b"): 2e-7, ("u", "b"): 0.5})
    shown = run("scores", "--pipeline", "toy", "--ds", "2026-01-03", "--top", "1")
    assert shown.code == 0
    assert shown.out.splitlines()[:3] == ["user  item  score", "u     b     0.5000", ""]
    assert shown.out.splitlines()[3].startswith(
        "1 of 2 scores of 2026-01-03: run bbb, lr version 1"
    )
    rows = [
        json.loads(line)
        for line in run(
            "scores", "--pipeline", "toy", "--ds", "2026-01-03", "--json"
        ).out.splitlines()
    ]
    assert [row["user"] for row in rows] == ["u", "u[/x]"]


def test_a_reader_that_has_enough_is_no_error(home: Home) -> None:
    publish(home, publication(DAY, 1, "bbb"))
    score(home, DAY, "bbb", {(f"u{n}", "b"): 0.5 for n in range(20_000)})
    code = (
        "import sys\nfrom feature_store import definitions\n"
        "from tests.toy import clicky_definition\n"
        "definitions.load = lambda _: clicky_definition()\nfrom jobs.cli.app import main\n"
        "sys.exit(main(['scores', '--pipeline', 'toy', '--ds', '2026-01-03', '--json']))"
    )
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "$0" | head -1; echo $?', code],
        capture_output=True, text=True, check=True,
        env={**os.environ, "NIGHTSCORE_HOME": home.root},
    )  # fmt: skip
    first, code_shown = done.stdout.splitlines()
    assert json.loads(first)["user"] == "u0"
    assert code_shown == "0"
    assert "Broken" not in done.stderr
