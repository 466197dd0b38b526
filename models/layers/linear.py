"""The linear layer that models are built from, as it begins."""

from __future__ import annotations

from torch import nn


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """Return a layer (B, inputs) -> (B, outputs) with Xavier-normal weights and no bias yet.

    Source: Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward
    neural networks, eq. 12. It is where the models of the BARS leaderboard begin.
    """
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_normal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
