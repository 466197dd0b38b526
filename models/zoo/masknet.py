"""MaskNet: blocks that multiply what they see by a mask made of the row itself.

Source: Wang et al. 2021, MaskNet: Introducing Feature-Wise Multiplication to CTR Ranking Models by
Instance-Guided Mask, equations 4-9.

Legend: B batch, F fields, E embedding width, N numeric, D flat inputs, H block outputs, T labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.layers.flat import flat_width, flatten
from models.layers.mask import MaskBlock
from models.layers.mlp import Tower
from models.ranker import Ranker
from models.rules import DeepConfig
from models.signature import Signature
from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskNetConfig(DeepConfig):
    """Settings of MaskNet; blocks are those of the BARS leaderboard on Frappe."""

    model: ClassVar[str] = "masknet"
    positive: ClassVar[tuple[str, ...]] = ("blocks", "block_dim", "reduction")
    blocks: int = 3
    block_dim: int = 50
    parallel: bool = True
    """Whether the blocks all see the row, or each what the one before gives."""
    reduction: int = 1
    """Units of a mask's hidden layer for each of its inputs."""


class MaskNetHead(nn.Module):
    """Mask blocks, and a perceptron over what they give."""

    def __init__(self, config: MaskNetConfig, signature: Signature) -> None:
        super().__init__()
        inputs, width = flat_width(signature, config.embedding_dim), config.block_dim
        self.is_parallel = config.parallel
        self.norm = nn.LayerNorm(config.embedding_dim)
        seen = [inputs] * config.blocks if config.parallel else [inputs, *[width] * config.blocks]
        self.blocks = nn.ModuleList(
            MaskBlock(inputs, seen[index], width, config.reduction)
            for index in range(config.blocks)
        )
        self.tower = Tower(
            width * (config.blocks if config.parallel else 1), config.hidden,
            len(signature.labels), dropout=config.dropout, batch_norm=config.batch_norm,
        )  # fmt: skip

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, T)."""
        row_BD = flatten(fields_BFE, scaled_BN)
        seen = flatten(self.norm(fields_BFE), scaled_BN)
        given: list[Tensor] = []
        for block in self.blocks:
            given.append(block(row_BD, seen if self.is_parallel or not given else given[-1]))
        logits_BT: Tensor = self.tower(torch.cat(given, 1) if self.is_parallel else given[-1])
        return logits_BT


def build(config: MaskNetConfig, signature: Signature, vocabulary: Vocabulary) -> Ranker:
    """Return an untrained MaskNet."""
    head = MaskNetHead(config, signature)
    return Ranker(signature=signature, vocabulary=vocabulary, width=config.embedding_dim, head=head)
