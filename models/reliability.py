"""How far scores may lie from what came true by chance alone, so that few rows are no verdict.

Legend: n rows, y labels (n,) in {0, 1}, p scores (n,). All limits are closed forms: a night of
millions of rows is judged as fast as its metrics are computed, and twice alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
from numpy.typing import ArrayLike

from models.metrics import PROBABILITY_FLOOR, Floats, checked, ece, logloss

BINS = 15
"""Bins of equal mass, as `models.metrics.ece` takes them."""
MIN_ROWS_PER_BIN = 10
"""Fewer, and the normal law says nothing of a bin's mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excess:
    """How much worse scores are than always saying the base rate of the same rows."""

    value: float
    """Logloss of the scores less that of the rows' own base rate."""
    deviation: float
    """Its standard error: that of the mean of the differences row by row."""
    base_logloss: float
    """Logloss of always saying the rows' base rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Miscalibration:
    """A calibration error, and what it would be of scores that are the true probabilities."""

    error: float
    chance: float
    """Its mean by chance."""
    deviation: float
    """Its standard deviation by chance."""
    rows: int

    def beyond_doubt(self, z: float) -> float:
        """Return how much error chance does not account for, at `z` standard deviations.

        A lower bound of the binned error that the scores really have: what is measured is at most
        that error and the part of chance together (triangle inequality, bin by bin). Where one
        positive among few rows is likely, the normal law is too narrow; z^2 / 6n is what
        Bernstein's inequality adds.
        """
        return self.error - self.chance - z * self.deviation - z * z / (6 * self.rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """One point of a calibration curve."""

    rows: int
    score: float
    """Mean score."""
    label: float
    """Share of positive labels."""


def excess_logloss(y: ArrayLike, p: ArrayLike) -> Excess:
    """Return the logloss of scores less that of the rows' own base rate, with its standard error.

    Paired row by row: what is hard for both cancels.
    """
    labels, scores = checked(y, p)
    base = float(labels.mean())
    constant = np.full(len(labels), base)
    # As `logloss` does: a day of one class has a base rate of exactly 0 or 1.
    kept, kept_base = (
        np.clip(column, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR) for column in (scores, constant)
    )
    difference = labels * np.log(kept_base / kept)
    difference += (1 - labels) * (np.log1p(-kept_base) - np.log1p(-kept))
    rows = len(labels)
    deviation = float(difference.std(ddof=1)) / sqrt(rows) if rows > 1 else float("inf")
    return Excess(
        value=float(difference.mean()),
        deviation=deviation,
        base_logloss=logloss(labels, constant),
    )


def excess_beyond_doubt(excess: float, deviation: float, rows: int, z: float) -> float:
    """Return the part of an excess that chance does not account for, at `z` standard deviations.

    The base rate is fitted to the very rows that it is measured on. By Wilks' theorem twice what
    it gains so is chi-squared with one degree of freedom: at most z^2 / 2 over all rows.
    """
    return excess - z * deviation - z * z / (2 * rows)


def gap(y: ArrayLike, p: ArrayLike) -> Miscalibration:
    """Return |mean y - mean p|: the calibration error of one bin, and so a part of every other."""
    labels, scores = checked(y, p)
    return _of_bins(labels, scores, 1, abs(float(labels.mean() - scores.mean())))


def miscalibration(y: ArrayLike, p: ArrayLike) -> Miscalibration:
    """Return the calibration error in up to 15 bins of equal mass, of at least 10 rows each."""
    labels, scores = checked(y, p)
    bins = max(1, min(BINS, len(labels) // MIN_ROWS_PER_BIN))
    return _of_bins(labels, scores, bins, ece(labels, scores, bins))


def curve(y: ArrayLike, p: ArrayLike, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the calibration curve: mean score and share of positives in bins of equal mass.

    Equal scores share one bin, so that the order of rows does not matter.
    """
    labels, scores = checked(y, p)
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, min(bins, len(scores)) + 1)[1:-1]))
    place = np.searchsorted(edges, scores, side="right")
    rows = np.bincount(place)
    score, label = (np.bincount(place, weights=column) for column in (scores, labels))
    return tuple(
        Bin(rows=int(n), score=float(s / n), label=float(t / n))
        for n, s, t in zip(rows, score, label, strict=True)
        if n
    )


def _of_bins(labels: Floats, scores: Floats, bins: int, error: float) -> Miscalibration:
    """Return an error in bins of equal mass beside its law by chance.

    If a score is the probability, the gap of a bin is nearly normal with variance
    sum p (1 - p) / n_b^2, its size half-normal: mean sqrt(2 v / pi), variance v (1 - 2 / pi).
    """
    parts = np.array_split(np.sort(scores), bins)
    shares = np.array([len(part) for part in parts]) / len(labels)
    variances = np.array([float((part * (1 - part)).sum()) / len(part) ** 2 for part in parts])
    return Miscalibration(
        error=error,
        chance=float((shares * np.sqrt(2 * variances / pi)).sum()),
        deviation=float(np.sqrt((shares**2 * variances * (1 - 2 / pi)).sum())),
        rows=len(labels),
    )
