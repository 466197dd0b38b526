"""`nightscore init` writes two files that load, both or neither, and says what comes next."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_store import definitions, streams
from feature_store.errors import DefinitionError, UsageError
from jobs.cli import app as cli
from jobs.init import days as init_days
from jobs.init.days import first_days
from jobs.init.place import put_down
from jobs.init.trial import loaded, require_sound
from tests.unit.test_init import FIRST, by_day, clicks, put, users

STREAM, DEFINITION = "feature_store/streams/shop.py", "feature_store/definitions/shop.py"
UNLABELLED = ["clicked", "clicked_at", "paid", "dwell"]


@pytest.fixture
def into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where pipelines are found as if it were the code's own."""
    root = tmp_path / "checkout"
    root.mkdir()
    for package in (streams, definitions):
        folder = str(root / package.__name__.replace(".", "/"))
        monkeypatch.setattr(package, "__path__", [*package.__path__, folder])
    yield root
    for package in (streams, definitions):
        sys.modules.pop(f"{package.__name__}.shop", None)


@pytest.fixture
def init(into: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `nightscore init shop` in this process: its exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["init", "shop", "--into", str(into), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def put_log(folder: Path, **said: Any) -> Path:
    return put(folder / "log.csv", clicks(), **said)


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_what_is_written_is_a_pipeline_that_is_found(init: Any, into: Path, tmp_path: Path) -> None:
    code, out, _ = init("--data", put_log(tmp_path))
    assert code == 0
    assert files(into) == {STREAM, DEFINITION}
    made = definitions.load("shop")
    assert (made.keys, made.labels[0].expression) == (("impression_id",), "clicked")
    assert made.stream.event_time == "shown_at"
    assert "feature_store/streams/shop.py\n" in out
    assert out.splitlines()[-2:] == [
        "next: nightscore train --pipeline shop --from 2026-01-01 --to 2026-01-08 "
        "--eval-to 2026-01-10",
        "next: nightscore run --pipeline shop --ds 2026-01-10",
    ]
    assert f"next: bring both files to {cli.init.ROOT}" in out


def test_a_dry_run_prints_both_files_and_writes_none(init: Any, into: Path, tmp_path: Path) -> None:
    log = put_log(tmp_path)
    code, out, _ = init("--data", log, "--dry-run")
    assert code == 0
    assert files(into) == set()
    assert f"would write {into / STREAM}" in out
    init("--data", log)
    for place in (STREAM, DEFINITION):
        assert (into / place).read_text().rstrip("\n") in out


def test_files_that_are_there_are_kept_unless_it_is_asked_for(
    init: Any, into: Path, tmp_path: Path
) -> None:
    log = put_log(tmp_path)
    (into / DEFINITION).parent.mkdir(parents=True)
    (into / DEFINITION).write_text("mine")
    code, _, err = init("--data", log)
    assert (code, files(into)) == (2, {DEFINITION})
    assert "definitions/shop.py: is there already. Choose another name" in err
    assert (into / DEFINITION).read_text() == "mine"
    assert init("--data", log, "--force")[0] == 0
    assert definitions.load("shop").name == "shop"


def test_without_a_label_the_pipeline_is_written_and_refused_until_there_is_one(
    init: Any, into: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = put(tmp_path / "log.csv", clicks().drop(columns=UNLABELLED))
    code, out, _ = init("--data", log)
    assert code == 0
    assert f"next: write the label in {into / DEFINITION}, where CHANGE_ME stands" in out
    assert 'such as expression="price > 0"' in out
    assert cli.main(["run", "--pipeline", "shop", "--ds", "2026-01-10"]) == 2
    assert (
        "labels.label='CHANGE_ME': is still to be written, in its place" in capsys.readouterr().err
    )
    # What the remark beside it says is what has to be done.
    stream, definition = into / STREAM, into / DEFINITION
    text = definition.read_text().replace("CHANGE_ME", "price > 5")
    head, _, tail = text.partition("        # a number from 0.0")
    definition.write_text(head + tail.partition("\n")[2].partition("\n")[2])
    text = stream.read_text()
    priced = 'Column(name="price", dtype="double", known="row")'
    assert priced in text
    stream.write_text(text.replace(priced, priced.replace("row", "outcome")))
    sys.modules.pop("feature_store.streams.shop", None)
    assert definitions.load("shop").labels[0].expression == "price > 5"


def test_a_script_is_told_as_json(init: Any, tmp_path: Path) -> None:
    log = put_log(tmp_path)
    code, out, _ = init("--data", log, "--json", "--dry-run")
    told = json.loads(out)
    assert code == 0
    assert (told["written"], told["rows"], told["label"]) == (False, 600, "clicked")
    assert (told["first_day"], told["last_day"]) == ("2026-01-01", "2026-01-10")
    assert told["next"][1] == "nightscore run --pipeline shop --ds 2026-01-10"


def test_files_that_a_shell_names_are_taken_together(init: Any, tmp_path: Path) -> None:
    by_day(tmp_path / "in", clicks())
    paths = sorted((tmp_path / "in").glob("ds=*/part.csv"))
    code, out, _ = init("--data", *paths, "--json")
    assert code == 0
    assert json.loads(out)["rows"] == 600


def test_a_day_that_nobody_delivered_is_named_and_none_is_asked_for(
    init: Any, tmp_path: Path
) -> None:
    for number in (0, 1, 2, 4, 5):
        put(tmp_path / "in" / f"users-{FIRST + timedelta(days=number)}.csv", users())
    _, out, _ = init("--data", tmp_path / "in", "--json")
    assert definitions.load("shop").absent_days == (date(2026, 1, 4),)
    assert "--from 2026-01-01 --to 2026-01-05 --eval-to 2026-01-06" in json.loads(out)["next"][0]


def test_many_days_that_are_missing_are_a_note(
    init: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(init_days, "_MOST_ABSENT", 3)
    frame = clicks()
    frame = frame[~frame["shown_at"].dt.day.isin([3, 4, 5, 6])]
    _, out, _ = init("--data", put(tmp_path / "log.csv", frame), "--json")
    assert definitions.load("shop").absent_days == ()
    assert "4 days between 2026-01-01 and 2026-01-10 have no row" in json.loads(out)["notes"][-1]


@pytest.mark.parametrize(
    ("held", "expected"),
    [(2, None), (3, (2, 3)), (10, (8, 10)), (31, (25, 31))],
)
def test_a_fifth_of_the_days_judges_the_first_model(
    held: int, expected: tuple[int, int] | None
) -> None:
    found = first_days([date(2026, 1, n + 1) for n in range(held)])
    told = found and (found.first.day, found.last.day, found.eval_to.day)
    assert told == (expected and (1, *expected))


def test_of_too_few_days_no_training_is_proposed(init: Any, tmp_path: Path) -> None:
    frame = clicks()
    frame = frame[frame["shown_at"] < pd.Timestamp("2026-01-03")]
    code, out, _ = init("--data", put(tmp_path / "log.csv", frame))
    assert code == 0
    assert "next: have more days delivered" in out
    assert "nightscore train" not in out


@pytest.mark.parametrize("is_there", [False, True])
def test_what_cannot_be_written_whole_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    paths = [tmp_path / "streams/shop.py", tmp_path / "definitions/shop.py"]
    if is_there:
        put_down(dict.fromkeys(paths, "before"))
    before = files(tmp_path)
    whole = Path.replace

    def fail_at_last(self: Path, target: Path) -> Path:
        if target == paths[1]:
            raise OSError(28, os.strerror(28), str(target))
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", fail_at_last)
    with pytest.raises(UsageError, match=r"shop\.py: cannot be written \(No space left"):
        put_down(dict.fromkeys(paths, "after"))
    assert files(tmp_path) == before
    assert {path.read_text() for path in paths if path.exists()} == (
        {"before"} if before else set()
    )


def test_a_folder_that_is_a_file_is_told_of(init: Any, into: Path, tmp_path: Path) -> None:
    (into / "feature_store").write_text("")
    code, _, err = init("--data", put_log(tmp_path))
    assert code == 2
    assert "feature_store/streams: cannot be written (Not a directory)" in err
    assert "--into" in err


def test_what_would_be_refused_is_not_written(init: Any, into: Path, tmp_path: Path) -> None:
    texts = {"feature_store/streams/shop.py": "raise ValueError('no such thing')\n"}
    with pytest.raises(UsageError, match=r"would be refused: no such thing. Nothing was written"):
        require_sound(texts, is_labelled=True)
    assert "feature_store.streams.shop" not in sys.modules


def test_a_trial_leaves_what_was_loaded_before(init: Any, tmp_path: Path) -> None:
    init("--data", put_log(tmp_path))
    made = definitions.load("shop")
    with pytest.raises(DefinitionError, match="'Shop'"):
        loaded(
            {
                STREAM: "",
                DEFINITION: "from feature_store.errors import DefinitionError\n"
                "raise DefinitionError('x', 'name', 'Shop', 'is no name')\n",
            }
        )
    assert definitions.load("shop") is made
