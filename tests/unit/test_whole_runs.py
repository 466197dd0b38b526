"""What a whole run is estimated to take, and how far the same rule misses past runs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.tables.commits import DayCommit
from feature_store.tables.inputs import Inputs
from jobs.backfill.whole_runs import PastRun, beside_writes, past_error, past_runs_of
from jobs.night.runs import RunRecord

START = datetime(2026, 1, 3, 1, tzinfo=UTC)


def run(days: int, beside: float, writes: float = 2.0, growing: float = 0.0) -> PastRun:
    written = {"scores": [writes] * days}
    return PastRun(seconds=beside + writes * days, days=days, writes=written, growing=growing)


def commit(after: float, seconds: float) -> DayCommit:
    return DayCommit(
        table="scores", ds=date(2026, 1, 3), run_id="r", version=1, rows=1, bytes=1,
        seconds=seconds, core_seconds=0.0, inputs=Inputs(definition="d", code="c"),
        committed_at=START + timedelta(seconds=after), table_id="t",
    )  # fmt: skip


def record(**given: object) -> RunRecord:
    known = {
        "kind": "night", "started_at": START, "seconds": 60.0, "steps": {"check scores": 5.0},
        "outcome": "published", "days": {"2026-01-03": "published"}, **given,
    }  # fmt: skip
    return RunRecord(**known)  # type: ignore[arg-type]


@given(
    once=st.floats(0, 500),
    per_day=st.floats(0, 60),
    lengths=st.sets(st.integers(1, 90), min_size=2),
)
def test_runs_of_different_lengths_tell_what_a_day_adds(
    once: float, per_day: float, lengths: set[int]
) -> None:
    runs = [run(days, once + per_day * days) for days in lengths]
    found = beside_writes(runs)
    assert found.seconds(30) == pytest.approx(once + 30 * per_day, abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1e4), st.floats(0, 50)), min_size=1))
def test_an_estimate_is_never_negative_and_grows_with_the_days(
    given_runs: list[tuple[int, float, float]],
) -> None:
    found = beside_writes([run(days, beside, growing=5.0) for days, beside, _ in given_runs])
    assert 0.0 <= found.seconds(1) <= found.seconds(2)


def test_nights_alone_estimate_a_night_by_their_median_and_many_days_with_their_checks() -> None:
    found = beside_writes([run(1, 50.0, growing=9.0), run(1, 60.0, growing=10.0), run(1, 99.0)])
    assert found.seconds(1) == 60.0
    assert found.seconds(11) == 60.0 + 10 * 9.0


def test_the_error_is_that_of_runs_left_out() -> None:
    assert past_error([]) is None
    assert past_error([run(1, 50.0)]) is None
    assert past_error([run(1, 48.0), run(1, 48.0), run(1, 48.0)]) == 0.0
    assert past_error([run(1, 48.0), run(1, 98.0)]) == pytest.approx((50 / 50 + 50 / 100) / 2)


def test_a_run_is_its_seconds_and_the_writes_made_within_it() -> None:
    commits = {"scores": [commit(-1, 3.0), commit(10, 4.0), commit(60, 5.0), commit(61, 6.0)]}
    (found,) = past_runs_of([record()], commits)
    assert (found.days, found.beside, found.growing) == (1, 60.0 - 9.0, 5.0)


@pytest.mark.parametrize(
    "unlike",
    [
        {"outcome": "failed"},
        {"outcome": "interrupted"},
        {"outcome": "already published", "days": {"2026-01-03": "already published"}},
        {"kind": "prepare", "outcome": "done", "days": {"2026-01-03": "done"}},
    ],
)
def test_what_published_nothing_says_nothing_of_a_night(unlike: dict[str, object]) -> None:
    assert past_runs_of([record(**unlike)], {}) == []
