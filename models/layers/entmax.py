"""Sparse attention weights.

Legend: any leading dimensions ..., N entries that share a sum of one.
"""

from __future__ import annotations

import torch
from torch import Tensor

STEPS = 10
"""Newton steps; from the left of a convex function they fall short, never over (see the tests)."""


def entmax(scores: Tensor, alpha: float) -> Tensor:
    """Return alpha-entmax over the last dimension: p_i = [(alpha - 1) s_i - tau]_+^(1/(alpha - 1)).

    tau is such that p sums to one. It is softmax as alpha nears 1 and sparsemax at 2; above 1 what
    scores low gets exactly nothing (Peters et al. 2019, Sparse Sequence-to-Sequence Models, eq. 9).

    Args:
        scores: (..., N) float.
        alpha: 1.2 to 2.

    Returns:
        (..., N), each row of sum one.
    """
    power = 1 / (alpha - 1)
    scaled = (alpha - 1) * (scores - scores.amax(-1, keepdim=True))
    with torch.no_grad():
        # At max - 1 the largest entry is one by itself: tau lies there or to the right.
        tau = torch.full_like(scaled[..., :1], -1.0)
        for _ in range(STEPS):
            total, slope = _sum_and_slope(scaled, tau, power)
            tau = tau + (total - 1) / slope
        _, slope = _sum_and_slope(scaled, tau, power)
    # One step more, of which autograd knows: the gradient of tau by the implicit function theorem.
    tau = tau + ((scaled - tau).clamp_min(0).pow(power).sum(-1, keepdim=True) - 1) / slope
    return (scaled - tau).clamp_min(0).pow(power)


def _sum_and_slope(scaled: Tensor, tau: Tensor, power: float) -> tuple[Tensor, Tensor]:
    """Return the sum of the weights at tau, and by how much it falls with tau."""
    above = (scaled - tau).clamp_min(0)
    # At alpha 2 nothing to the power of nothing is not one here.
    slopes = torch.where(above > 0, above.pow(power - 1), 0.0)
    return above.pow(power).sum(-1, keepdim=True), power * slopes.sum(-1, keepdim=True)
