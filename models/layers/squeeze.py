"""Squeeze and excitation: how much each field counts, from all fields' means.

Legend: B batch, F fields, E embedding width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.linear import linear


class SqueezeExcitation(nn.Module):
    """v_f * a_f with a = relu(W2 relu(W1 mean(v))) (FiBiNET, Huang et al. 2019, eq. 3-5)."""

    def __init__(self, fields: int, reduction: int) -> None:
        super().__init__()
        units = max(1, fields // reduction)
        self.squeeze = linear(fields, units, bias=False)
        self.excite = linear(units, fields, bias=False)

    def forward(self, fields_BFE: Tensor) -> Tensor:
        """Return weighed fields (B, F, E)."""
        weights_BF = torch.relu(self.excite(torch.relu(self.squeeze(fields_BFE.mean(2)))))
        return fields_BFE * weights_BF.unsqueeze(2)
