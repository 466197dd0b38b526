"""Factorised interaction layers: a linear layer that also multiplies what it gives by itself.

Legend: B batch, I inputs, O outputs, F fields, E embedding width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.linear import linear
from models.layers.mlp import stacked


class FactorizedLayer(nn.Module):
    """(W_1 x + b_1) * (W_2 x + b_2) + W_2 x + b_2 (FINAL, Zhu et al. 2023, section 3.1).

    Each layer doubles the order of the interactions.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.both = linear(inputs, 2 * outputs)

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return (B, O)."""
        plain_BO, factor_BO = self.both(x_BI).chunk(2, dim=1)
        crossed_BO: Tensor = plain_BO + plain_BO * factor_BO
        return crossed_BO


class FactorizedBlock(nn.Module):
    """Factorised layers, each with batch norm and dropout; no activation: the products bend."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], *, dropout: float = 0.0, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.layers = stacked(
            inputs, hidden, FactorizedLayer, dropout=dropout, batch_norm=batch_norm
        )

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return (B, O)."""
        x_BO: Tensor = self.layers(x_BI)
        return x_BO


class FieldGate(nn.Module):
    """Every field beside itself times a mix of all fields, place by place of the vectors.

    It begins as the fields beside themselves.
    """

    def __init__(self, fields: int) -> None:
        super().__init__()
        self.mix = nn.Linear(fields, fields)
        nn.init.zeros_(self.mix.weight)
        nn.init.ones_(self.mix.bias)

    def forward(self, fields_BFE: Tensor) -> Tensor:
        """Return (B, 2 * F, E)."""
        gates_BFE = self.mix(fields_BFE.transpose(1, 2)).transpose(1, 2)
        return torch.cat([fields_BFE, fields_BFE * gates_BFE], 1)
