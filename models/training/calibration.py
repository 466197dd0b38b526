"""Platt scaling: a slope and a shift that make logits fit what happened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 50
_RIDGE = 1e-9


def platt(logits: Floats, labels: Floats) -> tuple[float, float]:
    """Return (slope, shift) under which `slope * logit + shift` fits the labels best.

    Maximum likelihood by Newton's method, with the targets of Platt 1999 (Probabilistic outputs for
    support vector machines, eq. 14), which keep it finite where the classes are apart. A slope that
    would turn the order around is refused: then, and where it does not converge, (1, 0).

    Args:
        logits: (n,)
        labels: (n,), 0 or 1.
    """
    positives = labels.sum()
    negatives = len(labels) - positives
    targets = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.stack([logits, np.ones_like(logits)], 1)
    weights = np.array([1.0, 0.0])
    loss = _loss(design @ weights, targets)
    for _ in range(_STEPS):
        scores = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (scores - targets)
        curvature = (design * (scores * (1 - scores))[:, None]).T @ design
        step = np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)
        size = 1.0
        while (then := _loss(design @ (weights - size * step), targets)) > loss and size > 1e-6:
            size /= 2
        weights = weights - size * step
        if loss - then <= 1e-12 * len(labels):
            break
        loss = then
    slope, shift = float(weights[0]), float(weights[1])
    return (slope, shift) if slope > 0 and np.isfinite([slope, shift]).all() else (1.0, 0.0)


def _loss(logits: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0, logits) - targets * logits).sum())
