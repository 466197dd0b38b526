"""The pieces in which many days are worked on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.night.reach import FIRST_DAYS, FIRST_ROWS, MAX_GROWTH, PIECE_SECONDS, paced


def days(count: int) -> list[date]:
    return [date(2020, 1, 1) + timedelta(days=place) for place in range(count)]


def pieces(count: int, seconds_of: Callable[[int], float]) -> list[Sequence[date]]:
    """Return the pieces of `count` days where a piece of n days takes `seconds_of(n)`."""
    now, found = [0.0], []
    for piece in paced(days(count), clock=lambda: now[0]):
        found.append(piece)
        now[0] += seconds_of(len(piece))
    return found


@given(count=st.integers(0, 2000), per_day=st.floats(0, 1000), fixed=st.floats(0, 30))
def test_every_day_is_in_one_piece_in_order(count: int, per_day: float, fixed: float) -> None:
    found = pieces(count, lambda n: fixed + n * per_day)
    assert list(chain.from_iterable(found)) == days(count)
    assert all(found)


@given(per_day=st.floats(0.01, 1000))
def test_pieces_come_to_take_what_they_should(per_day: float) -> None:
    _, *later = pieces(1000, lambda n: n * per_day)
    for piece in later:
        assert len(piece) == 1 or len(piece) * per_day <= PIECE_SECONDS


def test_quick_days_are_few_pieces_and_slow_ones_many() -> None:
    assert [len(p) for p in pieces(365, lambda n: 8 + n / 5)] == [FIRST_DAYS, 365 - FIRST_DAYS]
    assert [len(p) for p in pieces(200, lambda n: 60.0 * n)][:5] == [FIRST_DAYS, 2, 2, 2, 2]


def test_a_piece_grows_by_no_more_than_its_bound() -> None:
    sizes = [len(p) for p in pieces(5000, lambda _: 0.0)]
    assert sizes[0] == FIRST_DAYS
    assert all(b <= MAX_GROWTH * a for a, b in pairwise(sizes))


@pytest.mark.parametrize(
    ("rows", "first"), [(0, 400), (1, 400), (FIRST_ROWS // 10, 10), (10 * FIRST_ROWS, 1)]
)
def test_the_first_piece_is_measured_by_its_rows_where_they_are_known(
    rows: int, first: int
) -> None:
    every = days(400)
    assert len(next(paced(every, dict.fromkeys(every, rows)))) == first
    assert list(paced([], {})) == []
