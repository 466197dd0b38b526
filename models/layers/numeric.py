"""Numeric features: standardised, and turned into field vectors so that they can interact.

Legend: B batch, N numeric features, E table width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CLIP_SIGMA = 8.0  # one absurd value must not decide a score


class NumericFields(nn.Module):
    """Standardises as in the training rows; a missing value has a vector of its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        # Empty parameters get no gradient, which distributed training would wait for.
        weight = torch.empty(count, width).normal_(std=0.01)
        self.weight = nn.Parameter(weight, requires_grad=count > 0)
        self.missing = nn.Parameter(torch.zeros(count, width), requires_grad=count > 0)

    def forward(self, values_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Return standardised values (B, N), NaN as 0 and within ±8, and vectors (B, N, E)."""
        is_missing = torch.isnan(values_BN)
        scaled = (values_BN - self.mean) / self.std
        scaled_BN = torch.where(is_missing, 0.0, scaled.clamp(-CLIP_SIGMA, CLIP_SIGMA))
        vectors = scaled_BN.unsqueeze(-1) * self.weight
        return scaled_BN, torch.where(is_missing.unsqueeze(-1), self.missing, vectors)
