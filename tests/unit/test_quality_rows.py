"""Promises of `nightscore quality`: a row a night and label, and no number that is not known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from feature_store.definition import Label
from jobs.cli import app as cli
from jobs.cli import quality as cli_quality
from jobs.report.nights import Labelled
from jobs.report.quality_rows import rows_of
from jobs.report.realised import Segments, realised
from tests.nights import NIGHT, found, labelled, publication, scored
from tests.toy import Row, changed, toy_definition

TOY = toy_definition([Row(day=0, user="u", item="i")])


def test_a_night_is_one_row_with_its_numbers_and_what_speaks_against_it() -> None:
    (row,) = rows_of(TOY, publication(), labelled(found(shift=2.0)), "")
    assert (row["ds"], row["label"], row["rows"], row["model"]) == (
        NIGHT.isoformat(), "clicked", 900, "lr 1",
    )  # fmt: skip
    assert row["against"] == ["base rate", "calibration"]
    assert row["logloss"] > row["base_logloss"]
    (good,) = rows_of(TOY, publication(), labelled(found()), "")
    assert good["against"] == []


def test_a_night_without_labels_is_a_row_without_numbers() -> None:
    (row,) = rows_of(TOY, publication(), Labelled(), "")
    assert (row["rows"], "logloss" in row) == (0, False)


def test_while_labels_come_later_nothing_is_held_against_a_night() -> None:
    (row,) = rows_of(TOY, publication(), labelled(found(shift=2.0), later=3), "")
    assert (row["labels_later"], row["against"]) == (3, [])


def test_a_number_that_is_not_defined_is_null() -> None:
    (row,) = rows_of(TOY, publication(), labelled(found(rows=1)), "")
    assert row["auc"] is None
    json.dumps(row, allow_nan=False)


def test_segments_are_told_only_where_they_are_asked_for() -> None:
    labels, scores = scored(2)
    item = np.array(["a"] * 600 + ["b"] * 290 + ["c"] * 10, dtype=object)
    one = labelled(realised(labels, scores, {"item": item}, segments=Segments(min_rows=30, most=9)))
    assert len(list(rows_of(TOY, publication(), one, ""))) == 1
    rows = list(rows_of(TOY, publication(), one, "item"))
    assert [(row.get("value"), row["rows"]) for row in rows] == [
        (None, 900),
        ("a", 600),
        ("b", 290),
    ]


def test_a_label_that_nobody_knows_stands_beside_one_that_is_known() -> None:
    both = changed(
        TOY,
        labels=(
            *TOY.labels,
            Label(name="twice", expression="clicked", known="click"),
        ),
        checks=(),
    )
    rows = list(rows_of(both, publication(), labelled(found()), ""))
    assert [(row["label"], row["rows"]) for row in rows] == [("clicked", 900), ("twice", 0)]


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> tuple[int, str, str]:
        range_ = ("--from", "2013-12-08", "--to", "2013-12-14")
        code = cli.main(["quality", "--pipeline", "flights", *range_, *arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_a_column_that_is_none_is_named_with_those_there_are(run: Any) -> None:
    code, out, err = run("--by", "carier")
    assert (code, out) == (2, "")
    assert "--by='carier': is no column of the features of flights" in err
    assert "carrier" in err


def test_a_range_in_which_nothing_is_published_says_what_to_run(run: Any) -> None:
    code, out, err = run("--json")
    assert (code, out) == (1, "")
    assert "flights: nothing is published from 2013-12-08 to 2013-12-14" in err
    assert "nightscore run --pipeline flights --ds 2013-12-08" in err


def test_a_table_has_a_line_a_row_and_a_dash_where_nothing_is_known() -> None:
    (unknown,) = rows_of(TOY, publication(), Labelled(), "")
    (known,) = rows_of(TOY, publication(), labelled(found(shift=2.0)), "")
    dashes = cli_quality._row(unknown, "")
    assert dashes[2:9] == ["0", *["–"] * 6]
    assert dashes[-1] == "no labels yet"
    assert cli_quality._row(known, "")[-1] == "base rate, calibration"
    assert len(cli_quality._row(known, "item")) == len(cli_quality._row(known, "")) + 1
