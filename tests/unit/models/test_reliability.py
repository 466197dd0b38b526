"""Promises of the margins: chance alone is never a verdict, and what is plainly wrong is one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models import metrics
from models.reliability import (
    curve,
    excess_beyond_doubt,
    excess_logloss,
    gap,
    miscalibration,
)

Z = 3.09
MAX_ECE = 0.05


def night(rng: np.random.Generator, rows: int, rate: float, spread: float) -> tuple:
    """Labels and scores of a night whose scores are the true probabilities."""
    logit = math.log(rate / (1 - rate)) + spread * rng.standard_normal(rows)
    p = 1 / (1 + np.exp(-logit))
    return (rng.random(rows) < p).astype(float), p


def is_worse(y: np.ndarray, p: np.ndarray) -> bool:
    found = excess_logloss(y, p)
    return excess_beyond_doubt(found.value, found.deviation, len(y), Z) > 0


def is_miscalibrated(y: np.ndarray, p: np.ndarray, limit: float = MAX_ECE) -> bool:
    return any(found.beyond_doubt(Z) > limit for found in (gap(y, p), miscalibration(y, p)))


def test_the_excess_is_the_difference_of_the_loglosses() -> None:
    y, p = np.array([1.0, 0.0, 0.0, 1.0]), np.array([0.8, 0.3, 0.6, 0.4])
    found = excess_logloss(y, p)
    assert found.base_logloss == pytest.approx(math.log(2))
    assert found.value == pytest.approx(metrics.logloss(y, p) - math.log(2))
    rows = [-math.log(q) - math.log(2) for q in (0.8, 0.7, 0.4, 0.4)]
    assert found.deviation == pytest.approx(np.std(rows, ddof=1) / 2)


def test_one_row_and_one_class_have_an_excess_that_proves_nothing() -> None:
    assert not is_worse(np.array([1.0]), np.array([0.01]))
    # None of ten came true, which a score of .05 makes likely; the base rate of hindsight is 0.
    assert not is_worse(np.zeros(10), np.full(10, 0.05))
    assert is_worse(np.zeros(1000), np.full(1000, 0.05))


def test_the_error_of_one_bin_is_the_gap_of_the_means() -> None:
    y, p = np.array([1.0, 0.0]), np.array([0.5, 0.3])
    found = gap(y, p)
    assert found.error == pytest.approx(0.1)
    variance = (0.25 + 0.21) / 4
    assert found.chance == pytest.approx(math.sqrt(2 * variance / math.pi))
    assert found.deviation == pytest.approx(math.sqrt(variance * (1 - 2 / math.pi)))


def test_the_law_by_chance_is_that_of_simulated_nights() -> None:
    rng = np.random.default_rng(5)
    _, p = night(rng, 900, 0.3, 1.0)
    errors = [metrics.ece((rng.random(900) < p).astype(float), p) for _ in range(400)]
    law = miscalibration(np.zeros(900), p)
    assert np.mean(errors) == pytest.approx(law.chance, rel=0.05)
    assert np.std(errors) == pytest.approx(law.deviation, rel=0.15)


@pytest.mark.parametrize("rows", [10, 60, 900, 20_000])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_clean_nights_of_any_size_raise_no_alarm(rows: int, rate: float) -> None:
    rng = np.random.default_rng(rows)
    nights = [night(rng, rows, rate, 0.7) for _ in range(300)]
    assert sum(is_worse(y, p) for y, p in nights) <= 1
    assert sum(is_miscalibrated(y, p) for y, p in nights) == 0


@pytest.mark.parametrize("rows", [10, 900, 20_000])
def test_a_model_that_knows_nothing_but_the_base_rate_raises_no_alarm(rows: int) -> None:
    rng = np.random.default_rng(rows)
    nights = [((rng.random(rows) < 0.2).astype(float), np.full(rows, 0.2)) for _ in range(300)]
    assert sum(is_worse(y, p) for y, p in nights) <= 1


def test_scores_that_are_far_too_high_are_found_on_a_night_of_a_few_hundred_rows() -> None:
    rng = np.random.default_rng(7)
    y, p = night(rng, 300, 0.2, 0.7)
    shifted = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + 2)))
    assert is_worse(y, shifted)
    assert is_miscalibrated(y, shifted)


def test_scores_in_the_wrong_order_are_found_although_their_mean_is_right() -> None:
    rng = np.random.default_rng(8)
    y, p = night(rng, 900, 0.5, 1.5)
    assert is_worse(y, 1 - p)
    assert gap(y, 1 - p).beyond_doubt(Z) < MAX_ECE
    assert is_miscalibrated(y, 1 - p)


def test_the_curve_holds_every_row_once_and_keeps_equal_scores_together() -> None:
    y, p = night(np.random.default_rng(9), 500, 0.3, 1.0)
    bins = curve(y, p)
    assert (len(bins), sum(found.rows for found in bins)) == (15, 500)
    assert [found.score for found in bins] == sorted(found.score for found in bins)
    assert sum(found.rows * found.label for found in bins) == pytest.approx(y.sum())
    (only,) = curve([0, 1, 1, 0], [0.5] * 4)
    assert (only.rows, only.score, only.label) == (4, 0.5, 0.5)
    assert [found.rows for found in curve([0, 1], [0.1, 0.9])] == [1, 1]
