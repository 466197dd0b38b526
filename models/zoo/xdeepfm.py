"""xDeepFM: explicit crosses of whole vectors beside a linear and a deep part.

Source: Lian et al. 2018, xDeepFM: Combining Explicit and Implicit Feature Interactions for
Recommender Systems, equations 6-8 and 12.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.layers.cross import CompressedInteraction
from models.layers.flat import flat_width, flatten, split_wide
from models.layers.linear import linear
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class XDeepFMConfig(DeepConfig):
    """Settings of xDeepFM."""

    model: ClassVar[str] = "xdeepfm"
    sizes: ClassVar[tuple[str, ...]] = ("cross_maps",)
    cross_maps: tuple[int, ...] = (32, 32)
    """Feature maps of each layer of crosses; layer k gives crosses of order k + 1."""


class XDeepFMHead(nn.Module):
    """A table row holds a value's linear weights, one per label, and then its vector."""

    def __init__(self, config: XDeepFMConfig, signature: Signature) -> None:
        super().__init__()
        self.labels = len(signature.labels)
        fields = len(signature.fields)
        self.crosses = CompressedInteraction(fields, config.cross_maps)
        self.out = linear(sum(config.cross_maps), self.labels)
        self.deep = Tower(
            flat_width(signature, config.embedding_dim), config.hidden, self.labels,
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, rows_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        wide_BT, fields_BFE = split_wide(rows_BFE, self.labels)
        crossed_BT = self.out(self.crosses(fields_BFE))
        logits_BT: Tensor = wide_BT + crossed_BT + self.deep(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: XDeepFMConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained xDeepFM."""
    head = XDeepFMHead(config, signature)
    width = head.labels + config.embedding_dim
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
