"""Keys looked up once, before the first step, and not at every step of every epoch.

Legend: B batch, C columns of keys, S buckets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from models.training.data import Rows

if TYPE_CHECKING:
    from models.ranker import Ranker

CHUNK_ROWS = 1 << 16


class Indexer:
    """Puts the rows of a model's table in the place of keys, as its own lookup finds them.

    A row is told as its number plus 1: of a list, 0 goes on to be padding.
    """

    def __init__(self, ranker: Ranker) -> None:
        """Take the lookup of a model on the CPU."""
        self._lookup, self._slots = ranker.dense.lookup, ranker.slots
        self._singles = ranker.dense.singles

    def __call__(self, rows: Rows) -> Rows:
        """Return the same rows with keys (B, C) looked up."""
        found = np.empty_like(rows.keys)
        with torch.no_grad():
            for start in range(0, len(found), CHUNK_ROWS):
                keys = torch.from_numpy(np.ascontiguousarray(rows.keys[start : start + CHUNK_ROWS]))
                indexed = self._lookup(keys, self._slots) + 1
                indexed[:, self._singles :] *= keys[:, self._singles :] != 0
                found[start : start + CHUNK_ROWS] = indexed.numpy()
        return rows._replace(keys=found)


class Indexed(nn.Module):
    """Stands for a lookup where keys are looked up already."""

    def forward(self, indexed_BC: Tensor, slots_S8: Tensor) -> Tensor:
        """Return rows (B, C) int64; of padding any."""
        return (indexed_BC - 1).clamp(min=0)


@contextmanager
def takes_indexed(ranker: Ranker) -> Iterator[None]:
    """Have a model take what an `Indexer` gives in the place of keys, for the block."""
    own = ranker.dense.lookup
    ranker.dense.lookup = Indexed()  # type: ignore[assignment]
    try:
        yield
    finally:
        ranker.dense.lookup = own
