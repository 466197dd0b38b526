"""ARM-Net: exponential neurons whose powers sparse attention chooses for each row.

Source: Cai et al. 2021, ARM-Net: Adaptive Relation Modeling Network for Structured Data,
equations 4-9. With the deep network beside it (`hidden`) it is the paper's ARM-Net+.

Legend: B batch, F fields, E embedding width, N numeric, T labels, O neurons of all heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.errors import ConfigInvalid
from models.layers.entmax import entmax
from models.layers.flat import flat_width, flatten
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class ARMNetConfig:
    """Settings of ARM-Net."""

    embedding_dim: int = 10
    heads: int = 4
    neurons: int = 16
    """Exponential neurons of each head: crosses, each of fields that it picks by row."""
    alpha: float = 1.5
    """Sparsity of the picking: near 1 every field counts a little, at 2 few count."""
    cross_hidden: tuple[int, ...] = (200,)
    """Sizes of the perceptron over the crosses."""
    hidden: tuple[int, ...] = (400, 400)
    """Sizes of the deep network beside it; none: ARM-Net alone."""
    dropout: float = 0.2
    batch_norm: bool = True

    def __post_init__(self) -> None:
        sizes = ["cross_hidden", *(["hidden"] if self.hidden else [])]
        positive = ["embedding_dim", "heads", "neurons"]
        check_settings("armnet", self, positive=positive, sizes=sizes, shares=["dropout"])
        if not 1.2 <= self.alpha <= 2:
            raise ConfigInvalid("armnet", "alpha", self.alpha, "must be from 1.2 to 2")


class ExponentialNeurons(nn.Module):
    """y_o = exp(sum over fields of w_oj e_j), by dimension: a product of powers (eq. 4-6).

    w_oj = a_oj v_oj, where a_o is entmax over the fields of q_o^T W e_j, and v_o is learned.
    """

    def __init__(self, fields: int, width: int, heads: int, neurons: int, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.turn = nn.Parameter(torch.empty(heads, width, width))
        self.query = nn.Parameter(torch.empty(heads, neurons, width))
        self.value = nn.Parameter(torch.empty(heads * neurons, fields))
        for part in (*self.turn, *self.query, self.value):
            nn.init.xavier_normal_(part)

    def forward(self, fields_BFE: Tensor) -> Tensor:
        """Return (B, O, E)."""
        # Queries turned once for all rows: (heads, neurons, E) x (heads, E, E).
        query_OE = torch.bmm(self.query, self.turn).flatten(0, 1)
        scores_BOF = query_OE @ fields_BFE.transpose(1, 2)
        powers_BOF = entmax(scores_BOF, self.alpha) * self.value
        return torch.exp(powers_BOF @ fields_BFE)


class ARMNetHead(nn.Module):
    """A perceptron over the crosses; beside it, a deep network over all fields."""

    def __init__(self, config: ARMNetConfig, signature: Signature) -> None:
        super().__init__()
        labels, width = len(signature.labels), config.embedding_dim
        self.neurons = ExponentialNeurons(
            len(signature.fields), width, config.heads, config.neurons, config.alpha
        )
        crosses = config.heads * config.neurons * width
        self.norm = nn.BatchNorm1d(crosses)
        self.crossed = Tower(
            crosses, config.cross_hidden, labels,
            dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip
        self.deep: Tower | None = None
        if config.hidden:
            self.deep = Tower(
                flat_width(signature, width), config.hidden, labels,
                dropout=config.dropout, batch_norm=config.batch_norm,
            )  # fmt: skip

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        logits_BT: Tensor = self.crossed(self.norm(self.neurons(fields_BFE).flatten(1)))
        if self.deep is not None:
            logits_BT = logits_BT + self.deep(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: ARMNetConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained ARM-Net."""
    head = ARMNetHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
