"""The cross network of DCNv2.

Legend: B batch, D inputs.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.layers.linear import linear


class CrossNetwork(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l: each layer raises the order of interaction by one."""

    def __init__(self, inputs: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(linear(inputs, inputs) for _ in range(layers))

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return (B, D)."""
        crossed = x_BD
        for layer in self.layers:
            crossed = x_BD * layer(crossed) + crossed
        return crossed
