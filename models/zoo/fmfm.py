"""Field-matrixed factorisation machine: a matrix for each pair of fields.

Source: Sun et al. 2021, FM2: Field-matrixed Factorization Machines for Recommender Systems,
equation 4, with linear weights per value.

Legend: B batch, F fields, P pairs of fields, T labels, D factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.interaction import Pairs
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FmFMConfig:
    """Settings of a field-matrixed factorisation machine."""

    embedding_dim: int = 10

    def __post_init__(self) -> None:
        check_settings("fmfm", self, positive=["embedding_dim"])


class FmFMHead(nn.Module):
    """A table row holds, for every label, the linear weight and then the D factors: one gather."""

    def __init__(self, fields: int, labels: int, factors: int) -> None:
        super().__init__()
        self.shape = (labels, 1 + factors)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.pairs = Pairs(fields)
        # At first every pair counts as in a factorisation machine, and breaks that slowly.
        matrices = torch.eye(factors).repeat(labels, self.pairs.count, 1, 1)
        self.matrices = nn.Parameter(matrices + 0.01 * torch.randn_like(matrices))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        fields_BFTD = fields_BFE.reshape(*fields_BFE.shape[:2], *self.shape)
        terms = []
        for label, matrices_PDD in enumerate(self.matrices):
            left_BPD, right_BPD = self.pairs(fields_BFTD[:, :, label, 1:])
            turned_PBD = torch.bmm(left_BPD.transpose(0, 1), matrices_PDD)
            terms.append((turned_PBD.transpose(0, 1) * right_BPD).sum((1, 2)))
        return self.bias + fields_BFTD[..., 0].sum(1) + torch.stack(terms, 1)


def build(config: FmFMConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained field-matrixed factorisation machine."""
    labels, fields = len(signature.labels), len(signature.fields)
    head = FmFMHead(fields, labels, config.embedding_dim)
    width = labels * (1 + config.embedding_dim)
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
