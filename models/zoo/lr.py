"""Logistic regression over fields: one weight per known value and label.

Legend: B batch, F fields, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.ranker import Ranker
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class LRConfig:
    """Logistic regression has nothing to choose."""


class LRHead(nn.Module):
    """The sum of the weights of the fields: its table is as wide as there are labels."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, fields_BFT: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        return fields_BFT.sum(1) + self.bias


def build(config: LRConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained logistic regression."""
    labels = len(signature.labels)
    return Ranker(signature=signature, vocabulary=vocabulary, width=labels, head=LRHead(labels))
