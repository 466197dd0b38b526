"""Batches on their way to the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from models.training.feed import Batch
from models.training.prefetch import prefetched

AHEAD = 2


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on a device, the same ones in the same order.

    To a GPU they are made, pinned and sent by a thread while it works on the one before. On the CPU
    such a thread would take a core from the model.
    """
    if device.type != "cuda":
        yield from batches
        return

    def sent() -> Iterator[Batch]:
        for batch in batches:
            keys, values, labels, weights = (
                column.pin_memory().to(device, non_blocking=True) for column in batch
            )
            yield keys, values, labels, weights

    yield from prefetched(sent(), ahead=AHEAD)
