"""IPNN: a perceptron over every field's vector and the dot product of every pair of fields.

Source: Qu et al. 2016, Product-based Neural Networks for User Response Prediction, section III-B.
The product layer gives the dot products themselves, as the BARS leaderboard has it.

Legend: B batch, F fields, P pairs of fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.flat import flat_width, flatten
from models.layers.interaction import Pairs, inner_products
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class IPNNConfig(DeepConfig):
    """Settings of IPNN."""

    model: ClassVar[str] = "ipnn"


class IPNNHead(nn.Module):
    """Products beside the vectors that they are of."""

    def __init__(self, config: IPNNConfig, signature: Signature) -> None:
        super().__init__()
        self.pairs = Pairs(len(signature.fields))
        self.tower = Tower(
            flat_width(signature, config.embedding_dim) + self.pairs.count, config.hidden,
            len(signature.labels), dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        products_BP = inner_products(fields_BFE, self.pairs)
        logits_BT: Tensor = self.tower(torch.cat([flatten(fields_BFE, scaled_BN), products_BP], 1))
        return logits_BT


def build(config: IPNNConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained IPNN."""
    head = IPNNHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
