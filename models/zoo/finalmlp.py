"""FinalMLP: two gated perceptrons over the same fields, fused by a bilinear form.

Legend: B batch, F fields, E embedding width, N numeric, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.errors import ConfigInvalid
from models.layers.flat import flat_width
from models.layers.gate import FeatureGate
from models.layers.interaction import BilinearFusion
from models.layers.mlp import MLP
from models.ranker import Ranker
from models.rules import check_settings
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class FinalMLPConfig:
    """Settings of FinalMLP; the defaults are those of the BARS leaderboard on Frappe."""

    embedding_dim: int = 10
    first_hidden: tuple[int, ...] = (400,)
    second_hidden: tuple[int, ...] = (100,)
    first_gate: tuple[str, ...] = ()
    """Fields whose values set what the first stream attends to (say, the user's); () learns one
    setting for all rows."""
    second_gate: tuple[str, ...] = ()
    """The same for the second stream (say, the item's)."""
    gate_hidden: tuple[int, ...] = (400,)
    heads: int = 5
    dropout: float = 0.4
    batch_norm: bool = True

    def __post_init__(self) -> None:
        sizes = ["first_hidden", "second_hidden", "gate_hidden"]
        check_settings(
            "finalmlp", self, positive=["embedding_dim"], sizes=sizes, shares=["dropout"]
        )
        if (
            self.heads < 1
            or self.first_hidden[-1] % self.heads
            or self.second_hidden[-1] % self.heads
        ):
            raise _invalid("heads", self.heads, "must divide the last size of both streams")


def _invalid(field: str, value: object, rule: str) -> ConfigInvalid:
    return ConfigInvalid("finalmlp", field, value, rule)


class FinalMLPHead(nn.Module):
    """Two streams and their fusion; numeric values join both streams as they are."""

    def __init__(self, config: FinalMLPConfig, signature: Signature) -> None:
        super().__init__()
        fields = signature.fields
        inputs = flat_width(signature, config.embedding_dim)

        def gate(names: tuple[str, ...], setting: str) -> FeatureGate:
            context = field_positions(fields, names, setting)
            return FeatureGate(len(fields), config.embedding_dim, context, config.gate_hidden)

        def stream(hidden: tuple[int, ...]) -> MLP:
            return MLP(inputs, hidden, dropout=config.dropout, batch_norm=config.batch_norm)

        self.first_gate = gate(config.first_gate, "first_gate")
        self.second_gate = gate(config.second_gate, "second_gate")
        self.first, self.second = stream(config.first_hidden), stream(config.second_hidden)
        self.fusion = BilinearFusion(
            self.first.outputs, self.second.outputs, config.heads, len(signature.labels)
        )

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        first = self.first(torch.cat([self.first_gate(fields_BFE), scaled_BN], 1))
        second = self.second(torch.cat([self.second_gate(fields_BFE), scaled_BN], 1))
        return self.fusion(first, second)


def field_positions(
    fields: tuple[str, ...], names: tuple[str, ...], setting: str
) -> tuple[int, ...]:
    """Return where the named fields stand.

    Raises:
        ConfigInvalid: a name is not a field of the signature.
    """
    for name in names:
        if name not in fields:
            raise _invalid(setting, name, f"is no field; there are {', '.join(fields)}")
    return tuple(fields.index(name) for name in names)


def build(config: FinalMLPConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained FinalMLP."""
    head = FinalMLPHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
