"""Simulated nights: what is known of a row, how likely it is to come true, and how it is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RATE = 0.2
SPREAD = 1.0
"""Standard deviation of the true log-odds: AUC is about .76."""
GROUPS = 8
"""Values of a column such as a carrier; each has its own rate."""
_OF_GROUP = np.linspace(-0.6, 0.6, GROUPS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """The rows of one night."""

    group: NDArray[np.int64]
    signal: Floats
    """What else is known of a row, in log-odds."""
    labels: Floats
    """0, 1, or NaN: none."""
    scores: Floats

    def rescored(self, odds: Floats) -> Night:
        """Return the night with other scores, given as log-odds."""
        return replace(self, scores=sigmoid(odds))

    @property
    def odds(self) -> Floats:
        """The scores as log-odds."""
        return odds_of(self.scores)


def clean(seed: int, rows: int) -> Night:
    """Return a night whose scores are the probabilities by which its labels were drawn."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, rows)
    signal = rng.standard_normal(rows) * SPREAD
    p = sigmoid(odds_of(np.float64(RATE)) + _OF_GROUP[group] + signal)
    labels = (rng.random(rows) < p).astype(float)
    return Night(group=group, signal=signal, labels=labels, scores=p)


def score(group: NDArray[np.int64], signal: Floats) -> Floats:
    """Return the scores that the right model gives such rows."""
    return sigmoid(odds_of(np.float64(RATE)) + _OF_GROUP[group] + signal)


def sigmoid(odds: Any) -> Floats:
    """Return the probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(odds, np.float64))))


def odds_of(p: Any) -> Floats:
    """Return the log-odds of a probability."""
    kept = np.clip(np.asarray(p, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(kept / (1 - kept)))
