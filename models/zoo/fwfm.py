"""Field-weighted factorisation machine: a weight for each pair of fields.

Source: Pan et al. 2018, Field-weighted Factorization Machines for Click-Through Rate Prediction in
Display Advertising, equation 7, with linear weights per value.

Legend: B batch, F fields, T labels, D factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FwFMConfig:
    """Settings of a field-weighted factorisation machine."""

    embedding_dim: int = 10

    def __post_init__(self) -> None:
        check_settings("fwfm", self, positive=["embedding_dim"])


class FwFMHead(nn.Module):
    """A table row holds, for every label, the linear weight and then the D factors: one gather."""

    def __init__(self, fields: int, labels: int, factors: int) -> None:
        super().__init__()
        self.shape = (labels, 1 + factors)
        self.bias = nn.Parameter(torch.zeros(labels))
        # At first every pair counts as in a factorisation machine.
        self.strength = nn.Parameter(torch.ones(labels, fields, fields))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        fields_BFTD = fields_BFE.reshape(*fields_BFE.shape[:2], *self.shape)
        factors_TBFD = fields_BFTD[..., 1:].permute(2, 0, 1, 3)
        above_T1FF = torch.triu(self.strength, diagonal=1).unsqueeze(1)
        # For each field the weighted sum of those after it: every pair once.
        after_TBFD = torch.matmul(above_T1FF, factors_TBFD)
        pairs_BT = (factors_TBFD * after_TBFD).sum((2, 3)).transpose(0, 1)
        return self.bias + fields_BFTD[..., 0].sum(1) + pairs_BT


def build(config: FwFMConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained field-weighted factorisation machine."""
    labels, fields = len(signature.labels), len(signature.fields)
    head = FwFMHead(fields, labels, config.embedding_dim)
    width = labels * (1 + config.embedding_dim)
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
