"""DCN: a cross network of vectors beside a deep network.

Source: Wang et al. 2017, Deep & Cross Network for Ad Click Predictions, equation 3.

Legend: B batch, F fields, E embedding width, N numeric, D flat inputs, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.cross import VectorCross
from models.layers.flat import flat_width, flatten
from models.layers.linear import linear
from models.layers.mlp import MLP
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class DCNConfig(DeepConfig):
    """Settings of DCN."""

    model: ClassVar[str] = "dcn"
    positive: ClassVar[tuple[str, ...]] = ("cross_layers",)
    cross_layers: int = 4


class DCNHead(nn.Module):
    """Cross and deep networks over the same flat input, joined by one linear layer."""

    def __init__(self, config: DCNConfig, signature: Signature) -> None:
        super().__init__()
        inputs = flat_width(signature, config.embedding_dim)
        self.cross = VectorCross(inputs, config.cross_layers)
        self.deep = MLP(inputs, config.hidden, dropout=config.dropout, batch_norm=config.batch_norm)
        self.out = linear(inputs + self.deep.outputs, len(signature.labels))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        flat_BD = flatten(fields_BFE, scaled_BN)
        logits_BT: Tensor = self.out(torch.cat([self.cross(flat_BD), self.deep(flat_BD)], 1))
        return logits_BT


def build(config: DCNConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained DCN."""
    head = DCNHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
