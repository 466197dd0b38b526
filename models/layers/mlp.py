"""The multi-layer perceptron of every deep part.

Legend: B batch, I inputs, O outputs, T labels.
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


class Tower(nn.Module):
    """A perceptron and the linear layer that gives its logits."""

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        labels: int,
        *,
        dropout: float = 0.0,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.hidden = MLP(inputs, hidden, dropout=dropout, batch_norm=batch_norm)
        self.out = linear(self.hidden.outputs, labels)

    def forward(self, x_BI: Tensor) -> Tensor:
        """Return logits (B, T)."""
        logits_BT: Tensor = self.out(self.hidden(x_BI))
        return logits_BT
