"""DeepFM: a factorisation machine and a deep network over the same vectors.

Source: Guo et al. 2017, DeepFM: A Factorization-Machine based Neural Network for CTR Prediction,
equations 1-4. Of several labels the pairs' term is the same for all: the linear weights and the
deep network tell them apart.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.layers.flat import flat_width, flatten, split_wide
from models.layers.interaction import pair_sum
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepFMConfig(DeepConfig):
    """Settings of DeepFM."""

    model: ClassVar[str] = "deepfm"


class DeepFMHead(nn.Module):
    """A table row holds a value's linear weights, one per label, and then its vector."""

    def __init__(self, config: DeepFMConfig, signature: Signature) -> None:
        super().__init__()
        self.labels = len(signature.labels)
        self.deep = Tower(
            flat_width(signature, config.embedding_dim), config.hidden, self.labels,
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, rows_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        wide_BT, fields_BFE = split_wide(rows_BFE, self.labels)
        pairs_B1 = pair_sum(fields_BFE.unsqueeze(2))
        logits_BT: Tensor = wide_BT + pairs_B1 + self.deep(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: DeepFMConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained DeepFM."""
    head = DeepFMHead(config, signature)
    width = head.labels + config.embedding_dim
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
