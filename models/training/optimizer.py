"""The optimiser of a training, and the regularisation of embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Adam, AdamW, Optimizer, SparseAdam

from models.training.config import TrainConfig
from models.training.lion import Lion
from models.training.sparse import gradient_values

DECAY = 0.1
"""What an epoch without gain makes of the learning rate."""


def make_optimizer(parameters: Iterable[nn.Parameter], config: TrainConfig) -> Optimizer:
    """Return the optimiser that `config.optimizer` names, over what of these is learned."""
    learned = [p for p in parameters if p.requires_grad]
    if config.optimizer == "lion":
        return Lion(learned, lr=config.learning_rate)
    makers: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "adamw": AdamW, "adagrad": Adagrad}
    return makers[config.optimizer](learned, lr=config.learning_rate, fused=True)


def make_sparse_optimizer(table_RE: nn.Parameter, config: TrainConfig) -> Optimizer:
    """Return the same for a table with sparse gradients: what a batch does not hold stays as it is.

    Adagrad does the same with a dense gradient. Adam does not: there a row goes on for some steps
    in the direction that it was moved in before.
    """
    # It is off by default, and torch warns of that until somebody says so.
    torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]
    if config.optimizer == "adagrad":
        return Adagrad([table_RE], lr=config.learning_rate)
    return SparseAdam([table_RE], lr=config.learning_rate)


def regularise_seen_rows(table_RE: nn.Parameter, l2: float) -> None:
    """Add the gradient of l2 / 2 |row|^2 to that of each row that the batch held.

    A row that it did not hold is left alone: under a decay of the whole table, at every step, what
    is seen once in a hundred steps shrinks to nothing in between.
    """
    grad = table_RE.grad
    if not l2 or grad is None:
        return
    values, rows = grad, table_RE.detach()
    if grad.is_sparse:
        values, rows = grad.values(), rows[grad.indices()[0]]
    is_seen = (values != 0).any(1, keepdim=True)
    values.addcmul_(rows, is_seen.to(rows.dtype), value=l2)


def cut_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale all gradients together to a norm of at most `max_norm`, sparse ones as well."""
    values = gradient_values(list(parameters))
    scale = max_norm / (nn.utils.get_total_norm(values) + 1e-6)
    torch._foreach_mul_(values, scale.clamp(max=1.0))


class LearningRate:
    """The learning rate of every step: warm-up, then a cosine, or cuts where nothing is gained."""

    def __init__(
        self, optimizers: Sequence[Optimizer], config: TrainConfig, steps_per_epoch: int
    ) -> None:
        self._optimizers, self._config = optimizers, config
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
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
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
