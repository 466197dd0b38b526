"""Wide & Deep: a linear model beside a deep network.

Source: Cheng et al. 2016, Wide & Deep Learning for Recommender Systems, equation 3. The wide part
is over single fields: a pipeline declares the crosses that it wants (`Cross`) as fields.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.layers.flat import flat_width, flatten, split_wide
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class WideDeepConfig(DeepConfig):
    """Settings of Wide & Deep."""

    model: ClassVar[str] = "wide_deep"


class WideDeepHead(nn.Module):
    """A table row holds a value's linear weights, one per label, and then its vector."""

    def __init__(self, config: WideDeepConfig, signature: Signature) -> None:
        super().__init__()
        self.labels = len(signature.labels)
        self.deep = Tower(
            flat_width(signature, config.embedding_dim), config.hidden, self.labels,
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, rows_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        wide_BT, fields_BFE = split_wide(rows_BFE, self.labels)
        logits_BT: Tensor = wide_BT + self.deep(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: WideDeepConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained Wide & Deep."""
    head = WideDeepHead(config, signature)
    width = head.labels + config.embedding_dim
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
