"""DCNv2: a cross network beside a deep network; its mixture has low-rank experts in each layer.

Source: Wang et al. 2021, DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale
Learning to Rank Systems, equations 1, 3 and 4.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.cross import CrossMixture, CrossNetwork
from models.layers.flat import flat_width, flatten
from models.layers.linear import linear
from models.layers.mlp import MLP
from models.ranker import Ranker
from models.rules import check_settings
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
        positive = ["embedding_dim", "cross_layers"]
        check_settings("dcnv2", self, positive=positive, sizes=["hidden"], shares=["dropout"])


@dataclass(frozen=True, kw_only=True, slots=True)
class DCNv2MixConfig(DCNv2Config):
    """Settings of DCNv2 whose cross layers are mixtures of low-rank experts."""

    cross_layers: int = 3
    experts: int = 4
    """Low-rank matrices of a cross layer, among which a gate chooses by row."""
    rank: int = 32
    """Rank of each; a layer costs 2 x experts x rank x inputs, and not inputs squared."""

    def __post_init__(self) -> None:
        DCNv2Config.__post_init__(self)
        check_settings("dcnv2_mix", self, positive=["experts", "rank"])


class DCNv2Head(nn.Module):
    """Cross and deep networks over the same flat input, joined by one linear layer."""

    def __init__(self, config: DCNv2Config, signature: Signature) -> None:
        super().__init__()
        inputs = flat_width(signature, config.embedding_dim)
        self.cross: nn.Module
        if isinstance(config, DCNv2MixConfig):
            self.cross = CrossMixture(inputs, config.cross_layers, config.experts, config.rank)
        else:
            self.cross = CrossNetwork(inputs, config.cross_layers)
        self.deep = MLP(inputs, config.hidden, dropout=config.dropout, batch_norm=config.batch_norm)
        self.out = linear(inputs + self.deep.outputs, len(signature.labels))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        flat = flatten(fields_BFE, scaled_BN)
        return self.out(torch.cat([self.cross(flat), self.deep(flat)], 1))


def build(config: DCNv2Config, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained DCNv2."""
    head = DCNv2Head(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
