"""One training on several processes, started by torchrun; alone, everything here does nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.errors import ConfigInvalid, LeaderFailed, ModelError, ProcessLost

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """This process's place among those that train together; rank 0 leads."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process fits, validates and decides for all."""
        return self.rank == 0

    def wrap(self, module: nn.Module, but: Sequence[str] = ()) -> nn.Module:
        """Return the module with gradients averaged over the group, but for parameters named."""
        if self.size == 1:
            return module
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(  # type: ignore[no-untyped-call]
            module, list(but)
        )
        ids = [self.device.index] if self.device.type == "cuda" else None
        # Buffers hold the vocabulary: sending it at every step would cost more than the step.
        return DistributedDataParallel(module, device_ids=ids, broadcast_buffers=False)

    def lead(self, call: Callable[[], Result]) -> Result | None:
        """Have the leader do something, and return what came of it; the others return None.

        Raises:
            ModelError: what the leader raised.
            LeaderFailed: in the others, with the same message.
        """
        if self.size == 1:
            return call()
        result, failure = None, None
        if self.leads:
            try:
                result = call()
            except ModelError as error:
                failure = error
        told = str(failure or "").encode()
        (text,) = self.share_arrays(
            [np.frombuffer(told, np.uint8).copy()] if self.leads else None, [np.uint8]
        )
        if failure is not None:
            raise failure
        if len(text):
            raise LeaderFailed(text.tobytes().decode())
        return result

    def mean_number(self, value: float) -> float:
        """Return the mean of what the processes give."""
        if self.size == 1:
            return value
        total = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total[0]) / self.size

    def largest_number(self, value: float) -> float:
        """Return the largest of what the processes give."""
        if self.size == 1:
            return value
        largest = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(largest, dist.ReduceOp.MAX)
        return float(largest[0])

    def share_number(self, value: float) -> float:
        """Return the leader's number."""
        return float(self.share(torch.tensor([value], dtype=torch.float64))[0])

    def share(self, tensor: Tensor) -> Tensor:
        """Return the leader's tensor; every process gives one of the same shape and dtype."""
        if self.size == 1:
            return tensor
        moved = tensor.detach().to(self.device).contiguous()
        dist.broadcast(moved, src=0)
        return moved.to(tensor.device)

    def share_arrays(
        self, arrays: Sequence[NDArray[Any]] | None, dtypes: Sequence[Any]
    ) -> list[NDArray[Any]]:
        """Return the leader's one-dimensional arrays; the others give None and the dtypes."""
        if self.size == 1:
            return list(arrays or [])
        lengths = torch.zeros(len(dtypes), dtype=torch.int64)
        if arrays is not None:
            lengths = torch.tensor([len(a) for a in arrays], dtype=torch.int64)
        lengths = self.share(lengths)
        shared = []
        for position, (length, dtype) in enumerate(zip(lengths.tolist(), dtypes, strict=True)):
            array = np.empty(length, dtype) if arrays is None else arrays[position]
            shared.append(self.share(torch.from_numpy(array)).numpy())
        return shared

    def share_state(self, module: nn.Module) -> None:
        """Give every process the leader's parameters and buffers."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in module.state_dict().values():
                    tensor.copy_(self.share(tensor))


@contextmanager
def joined(device: str) -> Iterator[Group]:
    """Join the processes that torchrun started, if it did, for the length of the block.

    Args:
        device: `auto` takes CUDA where there is one; else a torch device.

    Raises:
        ConfigInvalid: there is no such device here.
        ProcessLost: another process ended before this one.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    _require(device)
    wants_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    if size == 1:
        name = ("cuda" if wants_cuda else "cpu") if device == "auto" else device
        yield Group(device=torch.device(name))
        return
    local = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if wants_cuda else "cpu"
    was_joined = dist.is_initialized()
    if not was_joined:
        dist.init_process_group("nccl" if wants_cuda else "gloo")
    try:
        if wants_cuda:
            torch.cuda.set_device(torch.device(local))
        yield Group(device=torch.device(local), rank=dist.get_rank(), size=size)
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        why = str(error).splitlines()[0]
        raise ProcessLost(int(os.environ.get("RANK", "0")), why) from error
    finally:
        if not was_joined:
            dist.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Whether a connection to another process broke; gloo has no error of its own."""
    is_of_torch = isinstance(error, dist.DistError)
    return is_of_torch or any(mark in str(error) for mark in ("gloo", "Connection closed by peer"))


def _require(device: str) -> None:
    if device == "auto":
        return
    try:
        kind = torch.device(device).type
    except RuntimeError:
        rule = "must be auto, cpu or cuda"
        raise ConfigInvalid("train", "device", device, rule) from None
    if kind == "cuda" and not torch.cuda.is_available():
        rule = "there is no GPU that torch sees here; take one, or cpu"
        raise ConfigInvalid("train", "device", device, rule)
