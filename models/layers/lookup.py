"""Key to table row, inside the graph.

Legend: B batch, C columns of keys, S buckets.
"""

from __future__ import annotations

from collections.abc import Sequence

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

    def __init__(self, vocabulary: Vocabulary, column_fields: Sequence[int] | None = None) -> None:
        """Take the places of the vocabulary's keys.

        Args:
            vocabulary: the keys that each field knows.
            column_fields: for each column of keys, the place of its field; None: each has one.
        """
        super().__init__()
        fields = list(range(len(vocabulary.fields)) if column_fields is None else column_fields)
        self.register_buffer("base", torch.from_numpy(vocabulary.base[fields]))
        self.register_buffer("mask", torch.from_numpy(vocabulary.mask[fields]))
        self.register_buffer("mix", torch.from_numpy(vocabulary.mix.copy()))
        self.register_buffer("first", torch.from_numpy(vocabulary.first[fields]))

    def forward(self, keys_BC: Tensor, slots_S8: Tensor) -> Tensor:
        """Return rows (B, C) int64; a key its field does not know gets the field's first row."""
        low, high = keys_BC & LOW_32, (keys_BC >> 32) & LOW_32
        flat = slots_S8.view(-1)
        lines = [
            (self.base + (((low * self.mix[i] + high * self.mix[i + 1]) >> SHIFT) & self.mask))
            * LINE
            for i in (0, 2)
        ]
        place = lines[0]
        for line in lines:
            for way in range(WAYS):
                place = torch.where(flat[line + way] == keys_BC, line + way, place)
        # One row is fetched, not eight: half the time of comparing and fetching side by side.
        return torch.where(flat[place] == keys_BC, flat[place + WAYS], self.first)
