"""Lion, for tables most of whose rows a batch does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Lion(Optimizer):
    """w -= lr sign(b1 m + (1 - b1) g); m = b2 m + (1 - b2) g (Chen et al. 2023, algorithm 2).

    Source: Symbolic Discovery of Optimization Algorithms. The paper's step moves every weight by
    the whole rate, however old the gradient that its momentum remembers: the row of a value that
    was seen once would drift for ever. So what has no gradient in a step stays as it is, and so
    does its momentum.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; return what `closure` gives, if it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group["lr"], *group["betas"])
        return loss

    def _move(self, weight: Tensor, grad: Tensor, lr: float, now: float, later: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum, has_grad = state["momentum"], grad != 0
        direction = torch.sign(momentum.lerp(grad, 1 - now))
        weight.sub_(direction.mul_(has_grad), alpha=lr)
        torch.where(has_grad, momentum.lerp(grad, 1 - later), momentum, out=momentum)
