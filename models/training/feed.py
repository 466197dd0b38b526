"""Batches of an epoch: from memory when the data fits, else streamed from the files.

Legend: B batch, C columns of keys, V of values (see `Signature`), T labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.signature import Signature
from models.training.data import WHOLE, Rows, Shard, TrainingFiles, concatenate, read_all, stream

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Keys (B, K) int64, values (B, N) float32, labels (B, T) float32, weights (B,) float32."""
CHUNK_ROWS = 1 << 19  # rows permuted together when streaming


@dataclass(kw_only=True)
class Feed:
    """Yields every row of its shard once per epoch, in an order set by (seed, epoch)."""

    files: TrainingFiles
    signature: Signature
    batch_size: int
    seed: int = 0
    shard: Shard = WHOLE
    memory_bytes: int = 4 << 30
    _cached: Rows | None = field(default=None, repr=False)
    _prepare: Callable[[Rows], Rows] = field(default=lambda rows: rows, repr=False)

    def __post_init__(self) -> None:
        self._shard_rows = self.files.shard_rows(self.shard.count)
        self.rows = self._shard_rows[self.shard.index]
        # Every process takes as many steps as the fullest shard needs, or the others would wait
        # for ever in the gradient exchange.
        self.steps = max(step_count(rows, self.batch_size) for rows in self._shard_rows)

    @property
    def fits(self) -> bool:
        """Whether the shard is kept in memory."""
        sig = self.signature
        row = 8 * len(sig.key_columns) + 4 * (len(sig.value_columns) + len(sig.labels) + 1)
        return self.rows * row <= self.memory_bytes

    def prepare(self, how: Callable[[Rows], Rows]) -> None:
        """Have something done, once, to all rows that are read from now on or are kept already."""
        self._prepare = how
        if self._cached is not None:
            self._cached = how(self._cached)

    def parts(self, seed: int | None = None) -> Iterator[Rows]:
        """Yield the shard's rows in parts; a seed shuffles the parts that are streamed."""
        if not self.fits:
            yield from map(self._prepare, stream(self.files, self.signature, self.shard, seed=seed))
            return
        if self._cached is None:
            self._cached = self._prepare(read_all(self.files, self.signature, self.shard))
        yield self._cached

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in order (validation)."""
        for part in self.parts():
            for start in range(0, len(part.labels), self.batch_size):
                yield to_tensors(part.take(slice(start, start + self.batch_size)))

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield `steps` shuffled batches; a short shard starts over until it has as many."""
        taken, lap = 0, 0
        while taken < self.steps:
            for batch in self._lap(epoch, lap):
                yield to_tensors(batch)
                taken += 1
                if taken == self.steps:
                    return
            lap += 1

    def _lap(self, epoch: int, lap: int) -> Iterator[Rows]:
        rng = np.random.default_rng([self.seed, epoch, lap, self.shard.index])
        rest: Rows | None = None
        remaining = self.rows
        for chunk in in_chunks(self.parts(int(rng.integers(1 << 30))), CHUNK_ROWS):
            remaining -= len(chunk.labels)
            whole = chunk if rest is None else concatenate([rest, chunk])
            order = rng.permutation(len(whole.labels))
            spans = batch_spans(len(order), self.batch_size)
            if remaining:  # a short batch waits for the next chunk
                spans, last = spans[:-1], spans[-1]
                rest = whole.take(order[last[0] :])
            for start, stop in spans:
                yield whole.take(order[start:stop])


def step_count(rows: int, batch_size: int) -> int:
    """Return the batches of a pass."""
    return len(batch_spans(rows, batch_size))


def batch_spans(rows: int, batch_size: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each batch; a last batch of one row joins the one before it.

    Batch norm cannot train on a single row.
    """
    starts = list(range(0, rows, batch_size))
    if len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], rows], strict=True))


def in_chunks(parts: Iterator[Rows], rows: int) -> Iterator[Rows]:
    """Yield parts joined until each holds at least `rows` rows, or is the last."""
    waiting: list[Rows] = []
    for part in parts:
        waiting.append(part)
        if sum(len(one.labels) for one in waiting) >= rows:
            yield concatenate(waiting) if len(waiting) > 1 else waiting[0]
            waiting = []
    if waiting:
        yield concatenate(waiting)


def to_tensors(rows: Rows) -> Batch:
    """Return the rows as tensors that share their memory."""
    keys, values, labels, weights = (
        torch.from_numpy(np.ascontiguousarray(column)) for column in rows
    )
    return keys, values, labels, weights
