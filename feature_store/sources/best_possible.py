"""What no model can beat where the true probabilities are known, as they are of generated rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class BayesMetrics:
    """What the true probability scores, in expectation over the labels: no model beats it."""

    auc: float
    logloss: float
    rate: float
    """The mean probability."""
    rows: int


def best_possible(probabilities: Any) -> BayesMetrics:
    """Return the expected AUC and logloss of scoring each row with its true probability."""
    import numpy as np

    p = np.sort(np.asarray(probabilities, dtype=np.float64))
    values, first = np.unique(p, return_index=True)
    counts = np.diff(np.append(first, len(p)))
    positives, negatives = values * counts, (1 - values) * counts
    below = np.cumsum(negatives) - negatives
    auc = float((positives * (below + negatives / 2)).sum() / (positives.sum() * negatives.sum()))
    # What is certain costs nothing, and its logarithm is not taken.
    told = p * np.log(np.where(p > 0, p, 1)) + (1 - p) * np.log1p(-np.where(p < 1, p, 0))
    return BayesMetrics(auc=auc, logloss=float(-told.mean()), rate=float(p.mean()), rows=len(p))
