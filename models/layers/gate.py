"""Feature gating: a stream sees every field, weighted by what its context says.

Legend: B batch, F fields, E table width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.linear import linear
from models.layers.mlp import MLP


class FeatureGate(nn.Module):
    """fields * 2 sigmoid(MLP(context)); without context fields the context is a learned vector."""

    def __init__(
        self, fields: int, width: int, context: Sequence[int], hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.context = list(context)
        inputs = width * max(1, len(self.context))
        # One learned row stands for all rows, so its gate is one vector, folded when compiled.
        self.learned = None if self.context else nn.Parameter(torch.zeros(1, inputs))
        self.hidden = MLP(inputs, hidden, batch_norm=False)
        self.out = linear(self.hidden.outputs, fields * width)

    def forward(self, fields_BFE: Tensor) -> Tensor:
        """Return gated fields, flat (B, F * E)."""
        if self.learned is None:
            context = torch.cat([fields_BFE[:, field] for field in self.context], 1)
        else:
            context = self.learned
        return fields_BFE.flatten(1) * (2.0 * torch.sigmoid(self.out(self.hidden(context))))
