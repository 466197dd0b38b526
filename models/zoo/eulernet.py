"""EulerNet: crosses of orders that are learned, as sums of phases in the complex plane.

Source: Tian et al. 2023, EulerNet: Adaptive Feature Interaction Learning via Euler's Formula for
CTR Prediction, equations 4-14.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.linear import linear
from models.layers.polar import EulerInteraction
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class EulerNetConfig:
    """Settings of EulerNet."""

    embedding_dim: int = 10
    orders: tuple[int, ...] = (16, 16, 16)
    """Crosses that each layer gives; each has a learned power of every input."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        check_settings(
            "eulernet", self, positive=["embedding_dim"], sizes=["orders"], shares=["dropout"]
        )


class EulerNetHead(nn.Module):
    """A vector e of a field becomes mu * exp(i e), with a learned modulus mu of each field."""

    def __init__(self, config: EulerNetConfig, signature: Signature) -> None:
        super().__init__()
        width, counts = config.embedding_dim, [len(signature.fields), *config.orders]
        self.modulus = nn.Parameter(torch.ones(counts[0], width))
        self.layers = nn.ModuleList(
            EulerInteraction(before, after, width, config.dropout)
            for before, after in zip(counts, config.orders, strict=False)
        )
        self.out = linear(counts[-1] * width, len(signature.labels))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T): the same weights read real and imaginary parts."""
        real = self.modulus * torch.cos(fields_BFE)
        imaginary = self.modulus * torch.sin(fields_BFE)
        for layer in self.layers:
            real, imaginary = layer(real, imaginary)
        logits_BT: Tensor = self.out(real.flatten(1)) + self.out(imaginary.flatten(1))
        return logits_BT


def build(config: EulerNetConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained EulerNet."""
    head = EulerNetHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
