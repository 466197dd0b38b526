"""A list of vectors as one: their mean, in which what is older may count less.

Legend: B batch, L length of a list, E table width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_PADDED = -1e9  # no share of a softmax, and finite: a row of padding alone has no NaN
_OLDEST = 36_600.0  # days


class Pooling(nn.Module):
    """A weighted mean of what is there of a list; a list of which nothing is there gives 0.

    A value of age a counts as (1 + a)^-decay. The decay is learned and begins at 0: a plain mean.
    """

    def __init__(self, *, has_ages: bool) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.zeros(())) if has_ages else None

    def forward(self, vectors_BLE: Tensor, keys_BL: Tensor, ages_BL: Tensor | None) -> Tensor:
        """Return (B, E).

        Args:
            vectors_BLE: (B, L, E).
            keys_BL: (B, L) int64; 0 is padding.
            ages_BL: (B, L) float32, days; one that is no number counts as 0. None: no ages.
        """
        is_there_BL = keys_BL != 0
        logits_BL = torch.zeros_like(keys_BL, dtype=vectors_BLE.dtype)
        if self.decay is not None and ages_BL is not None:
            ages_BL = torch.nan_to_num(ages_BL, nan=0.0, posinf=_OLDEST, neginf=0.0)
            logits_BL = -self.decay * torch.log1p(ages_BL.clamp(0.0, _OLDEST))
        shares_BL = torch.softmax(logits_BL.masked_fill(~is_there_BL, _PADDED), 1)
        # Where all is padding, the softmax shares out what is not there.
        shares_BL = torch.where(is_there_BL, shares_BL, 0.0)
        return (shares_BL.unsqueeze(-1) * vectors_BLE).sum(1)
