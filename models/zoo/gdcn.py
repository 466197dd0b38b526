"""GDCN: a cross network whose every order is gated, beside or before a deep network.

Source: Wang et al. 2023, Towards Deeper, Lighter and Interpretable Cross Network for CTR
Prediction, equations 2 and 5.

Legend: B batch, F fields, E embedding width, N numeric, D flat inputs, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.cross import GatedCross
from models.layers.flat import flat_width, flatten
from models.layers.linear import linear
from models.layers.mlp import MLP
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class GDCNConfig(DeepConfig):
    """Settings of GDCN."""

    model: ClassVar[str] = "gdcn"
    positive: ClassVar[tuple[str, ...]] = ("cross_layers",)
    cross_layers: int = 3
    stacked: bool = False
    """Whether the deep network takes what the cross network gives (GDCN-S), or the same input
    (GDCN-P)."""


class GDCNHead(nn.Module):
    """Gated cross and deep networks, joined by one linear layer."""

    def __init__(self, config: GDCNConfig, signature: Signature) -> None:
        super().__init__()
        inputs = flat_width(signature, config.embedding_dim)
        self.is_stacked = config.stacked
        self.cross = GatedCross(inputs, config.cross_layers)
        self.deep = MLP(inputs, config.hidden, dropout=config.dropout, batch_norm=config.batch_norm)
        beside = 0 if config.stacked else inputs
        self.out = linear(beside + self.deep.outputs, len(signature.labels))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        flat_BD = flatten(fields_BFE, scaled_BN)
        crossed_BD = self.cross(flat_BD)
        if self.is_stacked:
            logits_BT: Tensor = self.out(self.deep(crossed_BD))
        else:
            logits_BT = self.out(torch.cat([crossed_BD, self.deep(flat_BD)], 1))
        return logits_BT


def build(config: GDCNConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained GDCN."""
    head = GDCNHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
