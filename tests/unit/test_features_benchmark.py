"""What the benchmark of features compares, and that its comparison finds what differs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from feature_store.definitions import load
from tests.benchmarks.features_case import Case, Pipeline
from tests.benchmarks.features_compare import differences
from tests.benchmarks.spark_profile import below, cpu_seconds

ROWS = pd.DataFrame(
    {
        "ds": [date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 2)],
        "user_id": ["u1", "u2", "u1"],
        "city": ["c1", None, "c3"],
        "price": [1.5, float("nan"), 3e6],
    }
)


def found(theirs: pd.DataFrame) -> list[str]:
    return differences("rows", ROWS, theirs, ["ds", "user_id"], ["price"], 1e-9)


def changed(column: str, row: int, value: object) -> pd.DataFrame:
    rows = ROWS.copy()
    rows.loc[row, column] = value
    return rows


def test_equal_rows_are_the_same_in_any_order() -> None:
    assert found(ROWS.iloc[::-1][["price", "city", "user_id", "ds"]]) == []
    assert found(changed("price", 2, 3e6 * (1 + 1e-10))) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda: ROWS.iloc[1:], "3 rows here and 2 there"),
        (lambda: ROWS.drop(columns="city"), "only one of the two has the columns city"),
        (lambda: changed("city", 0, "c2"), "city differs in 1 rows"),
        (lambda: changed("city", 1, "c2"), "city differs in 1 rows"),
        (lambda: changed("city", 0, None), "city differs in 1 rows"),
        (lambda: changed("price", 2, 3e6 * (1 + 1e-8)), "price differs in 1 rows"),
        (lambda: changed("price", 0, float("nan")), "price differs in 1 rows"),
        (lambda: changed("price", 1, 0.0), "price differs in 1 rows"),
        (lambda: changed("user_id", 2, "u9"), "user_id differs in 1 rows"),
    ],
)
def test_every_planted_difference_is_found(change: Callable[[], pd.DataFrame], told: str) -> None:
    (text,) = found(change())
    assert told in text


@pytest.mark.parametrize(("pipeline", "history"), [("shop_ads", 28), ("shop_reorder", 84)])
def test_a_case_is_the_shipped_pipeline_but_for_its_rows(pipeline: Pipeline, history: int) -> None:
    case, shipped = Case(pipeline=pipeline, size=100_000, history=history), load(pipeline)
    made = case.definition(Path("/delivered"))
    assert made.digest("encoding") == shipped.digest("encoding")
    assert made.digest("features") == shipped.digest("features")
    assert made.label_names == shipped.label_names[:1]
    assert case.scored[0] == shipped.first_day
    places = {stream.source.folder for stream in made.all_streams}  # type: ignore[attr-defined]
    assert all(place.startswith("/delivered/") for place in places)


def test_every_label_of_a_case_is_settled_before_the_next_split() -> None:
    case = Case(pipeline="shop_reorder", size=1_000, history=21)
    shipped = load("shop_reorder")
    wait, (outcome,) = shipped.label_days, shipped.outcomes
    assert [(b - a).days for a, b in zip(case.scored, case.scored[1:], strict=False)] == [wait] * 2
    assert case.delivered[-1] == shipped.outcome_days(outcome, case.scored[-1])[-1]


def test_no_case_has_more_history_than_a_window_reads() -> None:
    with pytest.raises(ValueError, match=r"shop_ads: 29 days of history: must be 1 to 28"):
        Case(pipeline="shop_ads", size=1_000, history=29)


def test_the_cpu_seconds_of_a_process_grow_with_its_work() -> None:
    before, parent = cpu_seconds()[os.getpid()]
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert cpu_seconds()[os.getpid()][0] - before >= 0.05
    assert parent == os.getppid()


def test_what_a_process_started_is_found_through_those_between() -> None:
    assert below(1, {1: (0.0, 0), 2: (1.0, 1), 3: (2.0, 2), 4: (3.0, 0)}) == {2, 3}
