"""What to lower when a training needs more memory than there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from models.errors import OutOfMemory

_OF_CPU = ("DefaultCPUAllocator", "not enough memory")


@contextmanager
def memory_told(device: torch.device, batch_size: int, tables: Callable[[], str]) -> Iterator[None]:
    """Say of memory that runs out during the block what takes it.

    Args:
        device: where the training is done.
        batch_size: rows per step.
        tables: says how large the tables are, as far as is known by then.

    Raises:
        OutOfMemory: it ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_of_memory(error):
            raise
        why = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise OutOfMemory(str(device), batch_size, tables(), why) from error


def _is_of_memory(error: Exception) -> bool:
    """Whether memory ran out; the CPU's allocator has no error of its own."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(mark in str(error) for mark in _OF_CPU)
