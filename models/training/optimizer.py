"""The optimiser of a training, and the regularisation of embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Adam, AdamW, Optimizer

from models.training.config import TrainConfig
from models.training.lion import Lion

DECAY = 0.1
"""What an epoch without gain makes of the learning rate."""


def make_optimizer(module: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimiser that `config.optimizer` names, over all that a module learns."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if config.optimizer == "lion":
        return Lion(parameters, lr=config.learning_rate)
    makers: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "adagrad": Adagrad}
    return makers[config.optimizer](parameters, lr=config.learning_rate, fused=True)


def regularise_seen_rows(table_RE: nn.Parameter, l2: float) -> None:
    """Add the gradient of l2 / 2 |row|^2 to that of each row that the batch held.

    A row that it did not hold is left alone: under a decay of the whole table, at every step, what
    is seen once in a hundred steps shrinks to nothing in between.
    """
    if l2 and table_RE.grad is not None:
        is_seen = (table_RE.grad != 0).any(1, keepdim=True)
        table_RE.grad.addcmul_(table_RE.detach(), is_seen.to(table_RE.dtype), value=l2)


class LearningRate:
    """The learning rate of every step: warm-up, then a cosine, or cuts where nothing is gained."""

    def __init__(self, optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> None:
        self._optimizer, self._config = optimizer, config
        self._steps = steps_per_epoch * config.epochs
        self._step, self._cut = 0, 1.0

    @property
    def value(self) -> float:
        """The rate of the last step, or of the first before any was taken."""
        step = max(self._step, 1)
        rate = self._config.learning_rate * min(1.0, step / max(self._config.warmup_steps, 1))
        if self._config.schedule == "cosine":
            return rate * (1 + math.cos(math.pi * (step - 1) / self._steps)) / 2
        return rate * self._cut

    def advance(self) -> None:
        """Set the rate of the next step."""
        self._step += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self.value

    @property
    def state(self) -> dict[str, float]:
        """What the steps and epochs so far have changed."""
        return {"step": self._step, "cut": self._cut}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a `state`."""
        self._step, self._cut = int(state["step"]), float(state["cut"])

    def plateau(self) -> None:
        """Take note that an epoch gained nothing."""
        self._cut *= DECAY


class AveragedWeights:
    """Running averages of all that a module learns, and of the statistics its layers keep."""

    def __init__(self, module: nn.Module, keep: float) -> None:
        # What training changes, in place; the vocabulary is no number to average.
        state = module.state_dict().values()
        self._weights = [tensor for tensor in state if tensor.is_floating_point()]
        self.averages = [tensor.clone() for tensor in self._weights]
        self._keep, self.steps = keep, 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        # The first steps weigh less, or where the model began would be remembered for long.
        keep = min(self._keep, self.steps / (self.steps + 10))
        for average, weight in zip(self.averages, self._weights, strict=True):
            average.lerp_(weight, 1 - keep)

    @torch.no_grad()
    def restore(self, averages: Sequence[Tensor], steps: int) -> None:
        """Go on from the averages after so many steps."""
        for average, found in zip(self.averages, averages, strict=True):
            average.copy_(found)
        self.steps = steps

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and averages: once to look at the averages, and again to go on."""
        for average, weight in zip(self.averages, self._weights, strict=True):
            now = weight.clone()
            weight.copy_(average)
            average.copy_(now)
