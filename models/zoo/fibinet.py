"""FiBiNET: fields weighed by squeeze and excitation, then crossed by bilinear forms.

Source: Huang et al. 2019, FiBiNET: Combining Feature Importance and Bilinear Feature Interaction
for Click-Through Rate Prediction, equations 3-8.

Legend: B batch, F fields, P pairs of fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.flat import split_wide
from models.layers.interaction import BilinearPairs
from models.layers.mlp import Tower
from models.layers.squeeze import SqueezeExcitation
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FiBiNETConfig(DeepConfig):
    """Settings of FiBiNET."""

    model: ClassVar[str] = "fibinet"
    positive: ClassVar[tuple[str, ...]] = ("reduction",)
    reduction: int = 3
    """How many times fewer units the excitation has than there are fields."""
    matrix_per_field: bool = False
    """Whether each field has a bilinear matrix of its own, or all share one."""


class FiBiNETHead(nn.Module):
    """A table row holds a value's linear weights, one per label, and then its vector."""

    def __init__(self, config: FiBiNETConfig, signature: Signature) -> None:
        super().__init__()
        self.labels = len(signature.labels)
        fields = len(signature.fields)
        self.squeeze = SqueezeExcitation(fields, config.reduction)
        width, per_field = config.embedding_dim, config.matrix_per_field
        self.plain = BilinearPairs(fields, width, per_field=per_field)
        self.weighed = BilinearPairs(fields, width, per_field=per_field)
        inputs = 2 * self.plain.pairs.count * width + len(signature.numeric)
        self.deep = Tower(
            inputs, config.hidden, self.labels,
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, rows_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        wide_BT, fields_BFE = split_wide(rows_BFE, self.labels)
        plain_BPE, weighed_BPE = self.plain(fields_BFE), self.weighed(self.squeeze(fields_BFE))
        crossed = torch.cat([plain_BPE.flatten(1), weighed_BPE.flatten(1), scaled_BN], 1)
        logits_BT: Tensor = wide_BT + self.deep(crossed)
        return logits_BT


def build(config: FiBiNETConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained FiBiNET."""
    head = FiBiNETHead(config, signature)
    width = head.labels + config.embedding_dim
    return Ranker(signature=signature, vocabulary=vocabulary, width=width, head=head)
