"""AutoInt: fields that attend to one another; with a perceptron beside it, AutoInt+.

Source: Song et al. 2019, AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural
Networks, equations 5-9.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from models.errors import ConfigInvalid
from models.layers.attention import FieldAttention
from models.layers.flat import flat_width, flatten
from models.layers.linear import linear
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoIntConfig:
    """Settings of AutoInt; with `hidden` it is AutoInt+."""

    embedding_dim: int = 10
    attention_layers: int = 3
    attention_dim: int = 40
    """Width that attention gives a field, over all heads."""
    heads: int = 2
    layer_norm: bool = True
    hidden: tuple[int, ...] = ()
    """Sizes of the perceptron beside the attention; none: attention alone."""
    dropout: float = 0.1
    batch_norm: bool = True

    def __post_init__(self) -> None:
        positive = ["embedding_dim", "attention_layers", "attention_dim", "heads"]
        sizes = ["hidden"] if self.hidden else []
        check_settings("autoint", self, positive=positive, sizes=sizes, shares=["dropout"])
        if self.attention_dim % self.heads:
            rule = f"must divide attention_dim={self.attention_dim}"
            raise ConfigInvalid("autoint", "heads", self.heads, rule)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoIntPlusConfig(AutoIntConfig):
    """Settings of AutoInt+; the defaults are those of the BARS leaderboard on Frappe."""

    attention_layers: int = 5
    attention_dim: int = 128
    heads: int = 4
    hidden: tuple[int, ...] = (400, 400, 400)


class AutoIntHead(nn.Module):
    """Layers of attention over the fields; a linear layer reads what they give."""

    def __init__(self, config: AutoIntConfig, signature: Signature) -> None:
        super().__init__()
        labels = len(signature.labels)
        fields = len(signature.fields)
        widths = [config.embedding_dim, *[config.attention_dim] * config.attention_layers]
        self.attention = nn.ModuleList(
            FieldAttention(
                before, after, config.heads,
                layer_norm=config.layer_norm, dropout=config.dropout,
            )
            for before, after in pairwise(widths)
        )  # fmt: skip
        self.out = linear(fields * config.attention_dim, labels)
        self.deep: Tower | None = None
        if config.hidden:
            self.deep = Tower(
                flat_width(signature, config.embedding_dim), config.hidden, labels,
                dropout=config.dropout, batch_norm=config.batch_norm,
            )  # fmt: skip

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        attended = fields_BFE
        for layer in self.attention:
            attended = layer(attended)
        logits_BT: Tensor = self.out(attended.flatten(1))
        if self.deep is not None:
            logits_BT = logits_BT + self.deep(flatten(fields_BFE, scaled_BN))
        return logits_BT


def build(config: AutoIntConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained AutoInt."""
    head = AutoIntHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
