"""The best possible metrics of known probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from feature_store.sources.best_possible import best_possible
from feature_store.sources.clicks import Clicks
from feature_store.sources.clicks_rows import CATEGORICAL, NUMERIC


def test_best_possible_of_two_rows_by_hand() -> None:
    # Pairs (positive, negative): (a, b) right .8*.7, (b, a) wrong .3*.2, and each row with itself.
    found = best_possible([0.8, 0.3])
    ties = (0.8 * 0.2 + 0.3 * 0.7) / 2
    assert found.auc == pytest.approx((0.8 * 0.7 + ties) / (1.1 * 0.9))
    entropy = [-(p * math.log(p) + (1 - p) * math.log(1 - p)) for p in (0.8, 0.3)]
    assert found.logloss == pytest.approx(sum(entropy) / 2)
    assert (found.rate, found.rows) == (pytest.approx(0.55), 2)


def test_best_possible_is_what_the_true_probability_scores() -> None:
    rng = np.random.default_rng(1)
    p = rng.beta(1, 4, 200_000)
    clicked = rng.random(len(p)) < p
    order = np.argsort(np.argsort(p))
    wins = order[clicked].sum() - clicked.sum() * (clicked.sum() - 1) / 2
    auc = wins / (clicked.sum() * (~clicked).sum())
    assert best_possible(p).auc == pytest.approx(auc, abs=0.004)


@pytest.mark.parametrize(
    ("field", "value"), [("rows_per_day", 0), ("rows_per_day", 10**9), ("users", 0), ("items", -1)]
)
def test_settings_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        Clicks(**{field: value})


@pytest.mark.parametrize("field", ["late_share", "copy_share"])
def test_shares_out_of_range_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Clicks(**{field: 0.6})


def test_no_field_is_named_twice() -> None:
    names = (*CATEGORICAL, *NUMERIC)
    assert len(set(names)) == len(names) == 35
