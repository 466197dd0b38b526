"""FinalNet: two blocks of factorised interactions that learn from their mean as well.

Source: Zhu et al. 2023, FINAL: Factorized Interaction Layer for CTR Prediction, section 3.

Legend: B batch, F fields, E embedding width, N numeric, K categorical, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from models.layers.factorized import FactorizedBlock, FieldGate
from models.layers.flat import flat_width, flatten
from models.layers.linear import linear
from models.loss import mean_cross_entropy
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalNetConfig:
    """Settings of FinalNet."""

    embedding_dim: int = 10
    first_hidden: tuple[int, ...] = (400,)
    second_hidden: tuple[int, ...] = (400, 400)
    field_gate: bool = True
    """Whether the first block also sees every field times a mix of all."""
    dropout: float = 0.4
    batch_norm: bool = True

    def __post_init__(self) -> None:
        sizes = ["first_hidden", "second_hidden"]
        check_settings(
            "finalnet", self, positive=["embedding_dim"], sizes=sizes, shares=["dropout"]
        )


class FinalNetHead(nn.Module):
    """The mean of two blocks' logits; the numeric values join both as they are."""

    def __init__(self, config: FinalNetConfig, signature: Signature) -> None:
        super().__init__()
        fields, labels = len(signature.fields), len(signature.labels)
        inputs = flat_width(signature, config.embedding_dim)
        self.gate = FieldGate(fields) if config.field_gate else nn.Identity()
        gated = inputs + fields * config.embedding_dim * config.field_gate
        self.first = _block(gated, config.first_hidden, config, labels)
        self.second = _block(inputs, config.second_hidden, config, labels)

    def both(self, fields_BFE: Tensor, scaled_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of each block, (B, T)."""
        first = self.first(flatten(self.gate(fields_BFE), scaled_BN))
        return first, self.second(flatten(fields_BFE, scaled_BN))

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        first_BT, second_BT = self.both(fields_BFE, scaled_BN)
        return (first_BT + second_BT) / 2


def _block(inputs: int, hidden: tuple[int, ...], config: FinalNetConfig, labels: int) -> nn.Module:
    block = FactorizedBlock(inputs, hidden, dropout=config.dropout, batch_norm=config.batch_norm)
    return nn.Sequential(block, linear(hidden[-1], labels))


class FinalNet(Ranker):
    """The blocks learn the label through their mean, and the mean by themselves (eq. 8 and 9)."""

    def loss(
        self, keys_BK: Tensor, values_BN: Tensor, labels_BT: Tensor, weights_B: Tensor
    ) -> Tensor:
        """Return the cross-entropy of the mean, and of each block with the mean as its target."""
        rows = self.dense.fields(keys_BK, values_BN, self.table, self.slots)
        head = cast("FinalNetHead", self.dense.head)
        each = [self.dense.calibrated(logits_BT) for logits_BT in head.both(*rows)]
        mean_BT = (each[0] + each[1]) / 2
        taught_BT = torch.sigmoid(mean_BT).detach()
        losses = [
            mean_cross_entropy(logits_BT, labels_BT, taught_BT, weights_B=weights_B)
            for logits_BT in each
        ]
        return mean_cross_entropy(mean_BT, labels_BT, weights_B=weights_B) + losses[0] + losses[1]


def build(config: FinalNetConfig, signature: Signature, vocabulary: Vocabulary) -> FinalNet:
    """Return an untrained FinalNet."""
    head = FinalNetHead(config, signature)
    return FinalNet(
        signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head
    )
