"""What a training takes of its machine: memory, and how busy the GPU is."""

from __future__ import annotations

import resource
import sys
from dataclasses import dataclass, field

import torch


def memory_mib(device: torch.device) -> float:
    """Return the most memory that was taken so far: of the GPU, or of this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10  # bytes there, else KiB


@dataclass
class GpuUse:
    """How busy a GPU was whenever somebody looked."""

    device: torch.device
    _seen: list[int] = field(default_factory=list)

    def look(self) -> None:
        """Look now; of a CPU, and without NVIDIA's library (`nvidia-ml-py`), nothing is seen."""
        if self.device.type != "cuda":
            return
        try:
            self._seen.append(torch.cuda.utilization(self.device))
        except ModuleNotFoundError:
            return

    def mean(self) -> float | None:
        """Return the mean share of time that it was busy since the last call, in percent."""
        seen, self._seen = self._seen, []
        return sum(seen) / len(seen) if seen else None
