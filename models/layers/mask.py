"""The block that multiplies what it sees by a mask made of the row itself.

Legend: B batch, D inputs of the mask, S inputs of the block, H outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layers.linear import linear


class MaskBlock(nn.Module):
    """relu(norm(W (mask * seen))) with mask = W2 relu(W1 row) (MaskNet, Wang et al. 2021, eq. 4-9).

    Args:
        inputs: D, the row's width.
        seen: S, the width of what is masked.
        outputs: H.
        reduction: units of the mask's hidden layer for each of its inputs.
    """

    def __init__(self, inputs: int, seen: int, outputs: int, reduction: int) -> None:
        super().__init__()
        self.aggregate = linear(inputs, inputs * reduction)
        self.project = linear(inputs * reduction, seen)
        self.hidden = linear(seen, outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, row_BD: Tensor, seen_BS: Tensor) -> Tensor:
        """Return (B, H)."""
        mask_BS = self.project(torch.relu(self.aggregate(row_BD)))
        return torch.relu(self.norm(self.hidden(mask_BS * seen_BS)))
