"""Metrics against hand-worked values, brute force and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import metrics
from models.errors import InputInvalid

pairs = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])),
    min_size=1, max_size=40,
)  # fmt: skip


def split(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([y for y, _ in rows]), np.array([p for _, p in rows])


def test_auc_by_hand() -> None:
    # positives .8 .4, negatives .4 .2: pairs won 1, .5 (tie) ... (.8>.4, .8>.2, .4=.4, .4>.2)
    assert metrics.auc([1, 1, 0, 0], [0.8, 0.4, 0.4, 0.2]) == pytest.approx(3.5 / 4)


def test_auc_of_one_class_is_undefined() -> None:
    assert math.isnan(metrics.auc([1, 1], [0.1, 0.2]))


@given(pairs)
@settings(deadline=None, max_examples=60)
def test_auc_is_the_share_of_pairs_in_order(rows: list[tuple[int, float]]) -> None:
    y, p = split(rows)
    ahead = p[y == 1][:, None] - p[y == 0][None, :]
    if ahead.size:
        assert metrics.auc(y, p) == pytest.approx(((ahead > 0) + 0.5 * (ahead == 0)).mean())
        assert metrics.auc(y, 1 - p) == pytest.approx(1 - metrics.auc(y, p))
        assert metrics.auc(y, p**3) == pytest.approx(metrics.auc(y, p))


def test_logloss_by_hand() -> None:
    expected = -(math.log(0.8) + math.log(0.75)) / 2
    assert metrics.logloss([1, 0], [0.8, 0.25]) == pytest.approx(expected)
    assert metrics.logloss([1], [0.0]) == pytest.approx(-math.log(1e-7))


def test_ece_by_hand() -> None:
    # bins of two: |(0 + 1) / 2 - .2| = .3 and |(1 + 1) / 2 - .7| = .3, each with half the mass
    assert metrics.ece([0, 1, 1, 1], [0.1, 0.3, 0.6, 0.8], bins=2) == pytest.approx(0.3)


@given(pairs, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_ece_does_not_depend_on_the_order_of_rows(rows: list[tuple[int, float]], rng) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert metrics.ece(*split(rows)) == pytest.approx(metrics.ece(*split(shuffled)))
    assert 0 <= metrics.ece(*split(rows)) <= 1


def test_perfectly_calibrated_scores_have_no_calibration_error() -> None:
    y = np.array([0, 1] * 50)
    assert metrics.ece(y, np.full(100, 0.5)) == pytest.approx(0)


def test_delong_variance_by_hand() -> None:
    # positives .9 .6 .3, negatives .5 .2: shares won by positives 1, 1, .5; by negatives 2/3, 1.
    # S10 = 1/12, S01 = 1/18: var = (1/12)/3 + (1/18)/2 = 1/18
    y, p = [1, 1, 1, 0, 0], [0.9, 0.6, 0.3, 0.5, 0.2]
    value, low, high = metrics.auc_confidence(y, p)
    assert value == pytest.approx(5 / 6)
    half = 1.959963984540054 * math.sqrt(1 / 18) / (5 / 36)
    assert low == pytest.approx(1 / (1 + math.exp(-(math.log(5) - half))))
    assert high == pytest.approx(1 / (1 + math.exp(-(math.log(5) + half))))


def test_delong_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = 0.7602499389065233  # P(N(1,1) > N(0,1)) = Phi(1 / sqrt 2)
    covered = 0
    for _ in range(200):
        y = rng.integers(0, 2, 300)
        _, low, high = metrics.auc_confidence(y, rng.normal(y, 1.0))
        covered += low <= truth <= high
    assert 180 <= covered <= 199


def test_paired_difference_is_narrower_than_two_intervals_and_antisymmetric() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 2000)
    a = rng.normal(y, 1.0)
    b = a + rng.normal(0, 0.3, len(y))
    difference, low, high = metrics.paired_auc_difference(y, a, b)
    assert difference == pytest.approx(metrics.auc(y, a) - metrics.auc(y, b))
    assert low < difference < high
    assert high - low < 0.5 * (np.diff(metrics.auc_confidence(y, a)[1:])[0])
    back, back_low, back_high = metrics.paired_auc_difference(y, b, a)
    assert (back, back_low, back_high) == pytest.approx((-difference, -high, -low))


def test_paired_difference_of_a_model_with_itself_is_nothing() -> None:
    y, p = [0, 1, 0, 1, 1], [0.1, 0.7, 0.4, 0.3, 0.9]
    assert metrics.paired_auc_difference(y, p, p) == pytest.approx((0, 0, 0))


def test_agrees_with_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 2, 5000), np.round(rng.uniform(0.01, 0.99, 5000), 2)
    assert metrics.auc(y, p) == pytest.approx(sklearn.roc_auc_score(y, p), abs=1e-12)
    assert metrics.logloss(y, p) == pytest.approx(sklearn.log_loss(y, p), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 1], [0.5]), ([], []), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, math.nan])],
)
def test_what_is_no_label_or_score_is_refused(y: list[float], p: list[float]) -> None:
    with pytest.raises(InputInvalid):
        metrics.auc(y, p)
