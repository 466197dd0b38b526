"""Metrics of a binary label, in numpy float64, each with its equation and source.

Legend: n rows, y labels (n,) in {0, 1}, p scores (n,).
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import InputInvalid

Floats = NDArray[np.float64]
Z_95 = 1.959963984540054  # the two-sided 95 % quantile of the normal law
PROBABILITY_FLOOR = 1e-7  # about float32's resolution near 1: a score of exactly 1 costs 16.1


def labelled(y: NDArray[Any], *others: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return `y` and what stands beside it, of the rows that have a label: NaN is none."""
    has_label = ~np.isnan(y)
    return tuple(column[has_label] for column in (y, *others))


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Return the share of (positive, negative) pairs in the right order, ties as one half.

    (R - m (m + 1) / 2) / (m k) with R the midranks' sum of the m positives (Mann-Whitney U; Hanley
    and McNeil 1982). NaN where only one class is there.
    """
    labels, scores = checked(y, p)
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    rank_sum = float(midranks(scores)[labels == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def logloss(y: ArrayLike, p: ArrayLike) -> float:
    """Return -mean(y ln p + (1 - y) ln(1 - p)), with p kept within [1e-7, 1 - 1e-7]."""
    labels, scores = checked(y, p)
    clipped = np.clip(scores, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped)))


def ece(y: ArrayLike, p: ArrayLike, bins: int = 15) -> float:
    """Return sum over bins of (n_b / n) |mean y - mean p|, bins of equal mass in the order of p.

    Naeini et al. 2015, with the equal-mass bins of Nixon et al. 2019. Equal scores are spread over
    their mean label first, so that the order of rows does not matter.
    """
    labels, scores = checked(y, p)
    distinct, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_label = np.bincount(place, weights=labels, minlength=len(distinct)) / counts
    gaps = np.repeat(mean_label - distinct, counts)
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(labels))


def auc_confidence(y: ArrayLike, p: ArrayLike) -> tuple[float, float, float]:
    """Return (AUC, low, high): the 95 % interval of DeLong et al. 1988.

    var = S10 / m + S01 / k, from the share of pairs that each positive and each negative wins.
    The interval is made on the logit scale (Pepe 2003), so it stays within [0, 1].
    """
    values, covariance = _delong(y, p)
    value, deviation = float(values[0]), sqrt(max(float(covariance[0, 0]), 0.0))
    if not 0 < value < 1 or np.isnan(deviation):
        return value, value, value
    center, half = np.log(value / (1 - value)), Z_95 * deviation / (value * (1 - value))
    return value, float(_sigmoid(center - half)), float(_sigmoid(center + half))


def paired_auc_difference(
    y: ArrayLike, p_a: ArrayLike, p_b: ArrayLike
) -> tuple[float, float, float]:
    """Return (AUC_a - AUC_b, low, high): the 95 % interval of the difference on the same rows.

    var = V_aa + V_bb - 2 V_ab (DeLong et al. 1988): what both models find easy cancels, so the
    interval is much narrower than two separate ones.
    """
    values, covariance = _delong(y, p_a, p_b)
    difference = float(values[0] - values[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    half = Z_95 * sqrt(max(variance, 0.0))
    return difference, difference - half, difference + half


def summary(y: ArrayLike, p: ArrayLike) -> dict[str, Any]:
    """Return rows, base rate, AUC with its interval, logloss and ECE, ready for JSON."""
    labels, _ = checked(y, p)
    value, low, high = auc_confidence(y, p)
    return {
        "rows": len(labels),
        "base_rate": float(labels.mean()),
        "auc": value,
        "auc_low": low,
        "auc_high": high,
        "logloss": logloss(y, p),
        "ece": ece(y, p),
    }


def midranks(scores: Floats) -> Floats:
    """Return ranks from 1, equal scores sharing their mean rank."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts, dtype=np.float64)
    return (last - (counts - 1) / 2)[place]


def checked(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    """Return labels and scores as float64, both (n,).

    Raises:
        InputInvalid: shapes differ, there is no row, a label is not 0 or 1, or a score not finite.
    """
    labels, scores = np.asarray(y, np.float64), np.asarray(p, np.float64)
    if labels.ndim != 1 or labels.shape != scores.shape or not len(labels):
        raise InputInvalid(f"metrics: y {labels.shape}, p {scores.shape}: must be equal, not empty")
    if not np.isin(labels, (0.0, 1.0)).all():
        raise InputInvalid("metrics: y must be 0 or 1 in every row; look at the label's definition")
    if not np.isfinite(scores).all():
        raise InputInvalid("metrics: p must be finite in every row; look at the model that made it")
    return labels, scores


def _delong(y: ArrayLike, *scores: ArrayLike) -> tuple[Floats, Floats]:
    """Return the AUC of each score and their covariance matrix, in O(n log n) (Sun and Xu 2014)."""
    shares = [_pair_shares(*checked(y, p)) for p in scores]
    won_by_positive = np.stack([share[0] for share in shares])
    won_by_negative = np.stack([share[1] for share in shares])
    if won_by_positive.shape[1] < 2 or won_by_negative.shape[1] < 2:
        undefined = np.full((len(shares), len(shares)), np.nan)
        return np.array([auc(y, p) for p in scores]), undefined
    covariance = np.cov(won_by_positive, ddof=1) / won_by_positive.shape[1]
    covariance = covariance + np.cov(won_by_negative, ddof=1) / won_by_negative.shape[1]
    return won_by_positive.mean(1), np.atleast_2d(covariance)


def _pair_shares(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Return each positive's share of negatives below it, each negative's of positives above."""
    all_ranks, is_positive = midranks(scores), labels == 1
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    beaten = all_ranks[is_positive] - midranks(scores[is_positive])
    above = all_ranks[~is_positive] - midranks(scores[~is_positive])
    return beaten / max(negatives, 1), 1.0 - above / max(positives, 1)


def _sigmoid(x: float) -> float:
    return 1 / (1 + float(np.exp(-x)))
