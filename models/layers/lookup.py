"""Key to table row, inside the graph.

Legend: B batch, K fields, S buckets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.vocabulary import LOW_32, SHIFT, WAYS, Vocabulary


class Lookup(nn.Module):
    """Turns keys into rows of the embedding table by eight comparisons in two buckets."""

    base: Tensor
    mask: Tensor
    mix: Tensor
    first: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.register_buffer("base", torch.from_numpy(vocabulary.base.copy()))
        self.register_buffer("mask", torch.from_numpy(vocabulary.mask.copy()))
        self.register_buffer("mix", torch.from_numpy(vocabulary.mix.copy()))
        self.register_buffer("first", torch.from_numpy(vocabulary.first))

    def forward(self, keys_BK: Tensor, slots_S8: Tensor) -> Tensor:
        """Return rows (B, K) int64; a key its field does not know gets the field's first row."""
        low, high = keys_BK & LOW_32, (keys_BK >> 32) & LOW_32
        rows = self.first.expand_as(keys_BK)
        flat = slots_S8.view(-1)
        for choice in (0, 2):
            mixed = (low * self.mix[choice] + high * self.mix[choice + 1]) >> SHIFT
            line = (self.base + (mixed & self.mask)) * (2 * WAYS)
            for way in range(WAYS):
                found = torch.where(flat[line + way] == keys_BK, flat[line + WAYS + way], 0)
                # An empty slot that happens to match gives the field's first row: the smallest.
                rows = torch.maximum(rows, found)
        return rows
