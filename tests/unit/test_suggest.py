"""Suggested checks: wide, few, none that is there already, and code that says the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given

from feature_store import definitions
from feature_store.definition import Check, Definition
from feature_store.quality.profile import ColumnProfile, DayProfile
from feature_store.quality.suggest import Suggestion, rounded, suggestions
from jobs.init.check_code import checks_code

FLIGHTS = replace(definitions.load("flights"), checks=())
START = date(2013, 11, 1)


def profile(
    name: str,
    tails: list[tuple[float | None, float | None]] | None = None,
    values: tuple[str, ...] = (),
    filled: float = 1.0,
) -> ColumnProfile:
    """A column over three days of a thousand rows, or over as many as there are tails."""
    days = [
        DayProfile(
            ds=START + timedelta(days=i), rows=1_000, filled=round(1_000 * filled), low=low,
            high=high,
        )
        for i, (low, high) in enumerate(tails or [(None, None)] * 3)
    ]  # fmt: skip
    return ColumnProfile(name=name, is_number=bool(tails), days=tuple(days), values=values)


def found(*columns: ColumnProfile, of: Definition = FLIGHTS) -> dict[str, Check]:
    return {one.check.title: one.check for one in suggestions(of, columns)}


def test_rows_and_keys_are_always_asked_for() -> None:
    checks = found(profile("distance"))
    assert (checks["row_count()"].minimum, checks["row_count()"].maximum) == (500, 2_000)
    assert checks[f"unique({', '.join(FLIGHTS.keys)})"].columns == FLIGHTS.keys
    assert suggestions(FLIGHTS, []) == []


def test_what_the_pipeline_checks_is_not_suggested_again() -> None:
    mine = Check(stage="features", kind="not_null", columns=("distance",))
    of = replace(FLIGHTS, checks=(mine, Check(stage="scores", kind="row_count", minimum=1)))
    assert set(found(profile("distance"), of=of)) == {
        "row_count()",
        f"unique({', '.join(FLIGHTS.keys)})",
    }


@pytest.mark.parametrize(
    ("tails", "bounds"),
    [
        ([(0.0, 100.0), (1.0, 90.0)], (0, 200)),
        ([(-3.0, 4.0)], (-10, 11)),
        ([(60.0, 80.0)], (40, 100)),
        ([(None, None), (60.0, 80.0)], (40, 100)),
        ([(5.0, 5.0)], None),
        ([(0.0, float("inf"))], None),
        ([(None, None)], None),
    ],
)
def test_numbers_may_go_as_far_again_to_either_side(
    tails: list[tuple[float | None, float | None]], bounds: tuple[float, float] | None
) -> None:
    check = found(profile("distance", tails)).get("between(distance)")
    assert (None if check is None else (check.minimum, check.maximum)) == bounds


@pytest.mark.parametrize(
    ("filled", "mostly", "severity"),
    [(1.0, 0.99, "block"), (0.999, 0.99, "warn"), (0.9, 0.8, "warn"), (0.5, None, "")],
)
def test_twice_as_many_nulls_as_ever_are_allowed(
    filled: float, mostly: float | None, severity: str
) -> None:
    check = found(profile("distance", filled=filled)).get("not_null(distance)")
    assert (None if check is None else check.mostly) == mostly
    assert check is None or check.severity == severity


def test_of_a_lookup_one_column_is_asked_for_and_of_keys_and_crosses_none() -> None:
    columns = [
        profile("temp", filled=0.97),
        profile("humid", filled=0.99),
        profile("dewp", filled=0.98),
        profile("seats", filled=0.8),
        profile("carrier"),
        profile("origin_hour"),
        profile("weekday"),
    ]
    asked = [title for title in found(*columns) if title.startswith("not_null")]
    assert asked == ["not_null(humid)", "not_null(seats)", "not_null(weekday)"]


def test_few_values_are_a_set_and_one_alone_is_not() -> None:
    checks = found(profile("weekday", values=("1", "2")), profile("carrier", values=("AA",)))
    assert checks["in_set(weekday)"].values == ("1", "2")
    assert "in_set(carrier)" not in checks


@given(st.floats(-1e12, 1e12, allow_subnormal=False).filter(lambda x: abs(x) > 1e-12))
def test_a_rounded_bound_lies_on_its_side_and_near(value: float) -> None:
    low, high = rounded(value, up=False), rounded(value, up=True)
    slack = abs(value) * 1e-9
    assert low <= value + slack
    assert high >= value - slack
    assert high - low <= 0.11 * abs(value)


def test_the_code_makes_the_same_checks() -> None:
    columns = [
        profile("distance", [(-0.25, 1234.5)]),
        profile("weekday", values=('a "quoted" one', "b\\n")),
        profile("humid", filled=0.9),
    ]
    wanted = suggestions(FLIGHTS, columns)
    code = checks_code(wanted)
    assert code.startswith("    checks=(\n        # 1,000 to 1,000 rows a day.\n")
    made = eval(f"dict(\n{code})", {"Check": Check, "dict": dict})["checks"]  # noqa: S307
    assert made == tuple(one.check for one in wanted)


def test_what_was_seen_cannot_leave_its_remark() -> None:
    check = Check(stage="features", kind="row_count", minimum=1)
    code = checks_code([Suggestion(check=check, seen="x\n    evil(),")])
    assert eval(f"dict(\n{code})", {"Check": Check, "dict": dict})["checks"] == (check,)  # noqa: S307
