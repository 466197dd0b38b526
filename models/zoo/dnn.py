"""DNN: one perceptron over every field's vector; what interactions are to be better than.

Source: Covington et al. 2016, Deep Neural Networks for YouTube Recommendations, section 4.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from models.layers.flat import flat_width, flatten
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class DNNConfig(DeepConfig):
    """Settings of a DNN."""

    model: ClassVar[str] = "dnn"


class DNNHead(nn.Module):
    """A perceptron and one linear layer."""

    def __init__(self, config: DNNConfig, signature: Signature) -> None:
        super().__init__()
        self.tower = Tower(
            flat_width(signature, config.embedding_dim), config.hidden, len(signature.labels),
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        logits_BT: Tensor = self.tower(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: DNNConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained DNN."""
    head = DNNHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
