"""DCNv2: a cross network beside a deep network.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.errors import ConfigInvalid
from models.layers.cross import CrossNetwork
from models.layers.linear import linear
from models.layers.mlp import MLP
from models.ranker import Ranker
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class DCNv2Config:
    """Settings of DCNv2; the defaults are those of the BARS leaderboard on Frappe."""

    embedding_dim: int = 10
    cross_layers: int = 4
    hidden: tuple[int, ...] = (400, 400, 400)
    dropout: float = 0.4
    batch_norm: bool = True

    def __post_init__(self) -> None:
        if self.embedding_dim < 1:
            raise ConfigInvalid("dcnv2", "embedding_dim", self.embedding_dim, "must be at least 1")
        if self.cross_layers < 1:
            raise ConfigInvalid("dcnv2", "cross_layers", self.cross_layers, "must be at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigInvalid("dcnv2", "hidden", self.hidden, "needs sizes of at least 1")
        if not 0 <= self.dropout < 1:
            raise ConfigInvalid("dcnv2", "dropout", self.dropout, "must be in [0, 1)")


class DCNv2Head(nn.Module):
    """Cross and deep networks over the same flat input, joined by one linear layer."""

    def __init__(self, config: DCNv2Config, inputs: int, labels: int) -> None:
        super().__init__()
        self.cross = CrossNetwork(inputs, config.cross_layers)
        self.deep = MLP(inputs, config.hidden, dropout=config.dropout, batch_norm=config.batch_norm)
        self.out = linear(inputs + self.deep.outputs, labels)

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        flat = torch.cat([fields_BFE.flatten(1), scaled_BN], 1)
        return self.out(torch.cat([self.cross(flat), self.deep(flat)], 1))


def build(config: DCNv2Config, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained DCNv2."""
    numeric = len(signature.numeric)
    inputs = (len(signature.categorical) + numeric) * config.embedding_dim + numeric
    head = DCNv2Head(config, inputs, len(signature.labels))
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
