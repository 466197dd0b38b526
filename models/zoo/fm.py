"""Factorisation machine: logistic regression plus a dot product for every pair of fields.

Legend: B batch, F fields, T labels, D factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.interaction import pair_sum
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FMConfig:
    """Settings of a factorisation machine."""

    embedding_dim: int = 10

    def __post_init__(self) -> None:
        check_settings("fm", self, positive=["embedding_dim"])


class FMHead(nn.Module):
    """A table row holds, for every label, the linear weight and then the D factors: one gather."""

    def __init__(self, labels: int, factors: int) -> None:
        super().__init__()
        self.shape = (labels, 1 + factors)
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        fields_BFTD = fields_BFE.reshape(*fields_BFE.shape[:2], *self.shape)
        return self.bias + fields_BFTD[..., 0].sum(1) + pair_sum(fields_BFTD[..., 1:])


def build(config: FMConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained factorisation machine."""
    head = FMHead(len(signature.labels), config.embedding_dim)
    width = len(signature.labels) * (1 + config.embedding_dim)
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
