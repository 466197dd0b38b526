"""Platt scaling finds the slope and the shift that are there, and never turns an order around."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.training.calibration import platt


def drawn(slope: float, shift: float, rows: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, rows)
    odds = 1 / (1 + np.exp(-(slope * logits + shift)))
    return logits, (rng.random(rows) < odds).astype(np.float64)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.4, -3.0), (2.5, 1.0)])
def test_the_planted_slope_and_shift_are_found(slope: float, shift: float) -> None:
    found = platt(*drawn(slope, shift))
    assert found == pytest.approx((slope, shift), abs=0.08)


def test_a_slope_that_would_turn_the_order_around_is_refused() -> None:
    assert platt(*drawn(-1.0, 0.0)) == (1.0, 0.0)


@settings(max_examples=200, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(-60, 60, width=32), st.booleans()), min_size=1, max_size=40)
)
def test_any_rows_give_a_rising_finite_line(rows: list[tuple[float, bool]]) -> None:
    logits, labels = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    slope, shift = platt(logits, labels)
    assert slope > 0
    assert np.isfinite([slope, shift]).all()


def test_classes_that_lie_apart_stay_finite() -> None:
    slope, shift = platt(np.array([-2.0, -1.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert 0 < slope < 10
    assert abs(shift) < 1
