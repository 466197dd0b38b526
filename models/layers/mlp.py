"""The multi-layer perceptron of every deep part.

Legend: B batch, I inputs, O outputs, T labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from models.layers.linear import linear


def stacked(
    inputs: int,
    hidden: Sequence[int],
    layer: Callable[[int, int], nn.Module],
    *,
    bend: Callable[[], nn.Module] | None = None,
    dropout: float = 0.0,
    batch_norm: bool = True,
) -> nn.Sequential:
    """Return a layer, batch norm, what bends its outputs and dropout, once per hidden size."""
    layers: list[nn.Module] = []
    for before, after in zip([inputs, *hidden], hidden, strict=False):
        layers.append(layer(before, after))
        if batch_norm:
            layers.append(nn.BatchNorm1d(after))
        if bend:
            layers.append(bend())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


class MLP(nn.Module):
    """Linear, batch norm, ReLU and dropout, once per hidden size."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], *, dropout: float = 0.0, batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.layers = stacked(
            inputs, hidden, linear, bend=nn.ReLU, dropout=dropout, batch_norm=batch_norm
        )
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
