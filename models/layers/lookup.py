"""Key to table row, inside the graph.

Legend: B batch, K fields, S buckets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.vocabulary import LOW_32, SHIFT, WAYS, Vocabulary

LINE = 2 * WAYS


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
        flat = slots_S8.view(-1)
        lines = [
            (self.base + (((low * self.mix[i] + high * self.mix[i + 1]) >> SHIFT) & self.mask))
            * LINE
            for i in (0, 2)
        ]
        place = lines[0]
        for line in lines:
            for way in range(WAYS):
                place = torch.where(flat[line + way] == keys_BK, line + way, place)
        # One row is fetched, not eight: half the time of comparing and fetching side by side.
        return torch.where(flat[place] == keys_BK, flat[place + WAYS], self.first)
