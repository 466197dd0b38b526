"""The multi-layer perceptron of every deep part.

Legend: B batch, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.linear import linear


class MLP(nn.Module):
    """Linear, batch norm, ReLU and dropout, once per hidden size."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], *, dropout: float = 0.0, batch_norm: bool = True
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip([inputs, *hidden], hidden, strict=False):
            layers.append(linear(before, after))
            if batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers += [nn.ReLU(), nn.Dropout(dropout)] if dropout else [nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.outputs = hidden[-1] if hidden else inputs

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return (B, O)."""
        return self.layers(x_BI)
