"""Rates, averages and regularisation: what each step does, held to its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from models.training.config import TrainConfig
from models.training.lion import Lion
from models.training.optimizer import (
    AveragedWeights,
    LearningRate,
    make_optimizer,
    regularise_seen_rows,
)
from models.training.trainer import batch_size_for


def rates(config: TrainConfig, steps: int, plateaus: tuple[int, ...] = ()) -> list[float]:
    module = nn.Linear(1, 1)
    optimizer = make_optimizer(module.parameters(), config)
    rate = LearningRate([optimizer], config, steps_per_epoch=10)
    found = []
    for step in range(steps):
        if step in plateaus:
            rate.plateau()
        rate.advance()
        found.append(rate.value)
    return found


def test_a_plateau_cuts_the_rate_to_a_tenth() -> None:
    found = rates(TrainConfig(learning_rate=0.5), 4, plateaus=(2, 3))
    assert found == pytest.approx([0.5, 0.5, 0.05, 0.005])


def test_the_rate_rises_in_the_warm_up_and_falls_to_nothing_along_a_cosine() -> None:
    found = rates(TrainConfig(learning_rate=0.8, schedule="cosine", epochs=10, warmup_steps=4), 100)
    assert found[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=0.01)
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[50] == pytest.approx(0.4)
    assert 0 < found[-1] < 1e-3


def test_the_optimiser_takes_the_rate_of_each_step() -> None:
    config = TrainConfig(learning_rate=0.5, warmup_steps=2)
    optimizers = [make_optimizer(nn.Linear(1, 1).parameters(), config) for _ in range(2)]
    LearningRate(optimizers, config, steps_per_epoch=10).advance()
    assert [group["lr"] for one in optimizers for group in one.param_groups] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("name", "rate"), [("adam", 0.1), ("adamw", 0.1), ("adagrad", 0.5), ("lion", 0.02)]
)
def test_every_optimiser_finds_the_least_square(name: str, rate: float) -> None:
    torch.manual_seed(0)
    module, wanted = nn.Linear(3, 1), torch.tensor([[1.0, -2.0, 3.0]])
    optimizer = make_optimizer(
        module.parameters(),
        TrainConfig(learning_rate=rate, optimizer=name),  # type: ignore[arg-type]
    )
    data = torch.randn(200, 3)
    for _ in range(600):
        optimizer.zero_grad()
        torch.autograd.backward((module(data) - data @ wanted.T).square().mean())
        optimizer.step()
    assert torch.allclose(module.weight, wanted, atol=0.1)


def test_lion_moves_by_the_sign_of_the_momentum_and_the_new_gradient() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    lion = Lion([weight], lr=0.1, betas=(0.9, 0.5))
    momentum, expected = np.zeros(3), np.ones(3)
    for grad in ([1.0, -2.0, 0.5], [-0.5, -1.0, 30.0], [-20.0, 4.0, -1.0]):
        weight.grad = torch.tensor(grad)
        lion.step()
        expected -= 0.1 * np.sign(0.9 * momentum + 0.1 * np.array(grad))
        momentum = 0.5 * momentum + 0.5 * np.array(grad)
    np.testing.assert_allclose(weight.detach().numpy(), expected, rtol=1e-6)
    assert expected[0] != expected[2]


def test_lion_leaves_the_rows_that_a_batch_does_not_hold() -> None:
    table = nn.Parameter(torch.ones(2, 2))
    lion = Lion([table], lr=0.1)
    table.grad = torch.ones(2, 2)
    lion.step()
    for _ in range(50):
        table.grad = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        lion.step()
    assert table[1].tolist() == pytest.approx([0.9, 0.9])
    assert table[0].tolist() == pytest.approx([-4.1, -4.1])


def test_rows_that_a_batch_holds_are_drawn_to_zero_and_no_others() -> None:
    table = nn.Parameter(torch.ones(3, 2))
    table.grad = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0]])
    regularise_seen_rows(table, 0.5)
    assert table.grad.tolist() == [[0, 0], [1.5, 0.5], [0.5, -0.5]]


def test_what_is_seldom_seen_keeps_what_it_learned() -> None:
    table = nn.Parameter(torch.tensor([[0.2], [0.2]]))
    optimizer = make_optimizer([table], TrainConfig(learning_rate=1e-3))
    for step in range(1000):
        optimizer.zero_grad()
        # Row 0 is in every batch, row 1 in every hundredth; both are drawn to 0.2.
        rows = torch.tensor([0, 1] if step % 100 == 0 else [0])
        torch.autograd.backward((nn.functional.embedding(rows, table) - 0.2).square().sum())
        regularise_seen_rows(table, 0.05)
        optimizer.step()
    assert table[1].item() > 0.18


def test_averages_follow_the_weights_and_can_be_looked_at_between_steps() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    module.register_buffer("slots", torch.tensor([2**62 + 1]))
    averaged = AveragedWeights(module, keep=0.5)
    begun = module[0].weight.detach().clone()
    seen = []
    for step in range(1, 41):
        with torch.no_grad():
            module[0].weight.fill_(float(step))
        averaged.update()
        seen.append(step)
    averaged.swap()
    expected = begun.double()
    for step in seen:
        keep = min(0.5, step / (step + 10))
        expected = expected * keep + step * (1 - keep)
    assert torch.allclose(module[0].weight.double(), expected, atol=1e-5)
    assert module.slots.item() == 2**62 + 1
    averaged.swap()
    assert (module[0].weight == 40).all()


def test_batches_are_as_many_as_are_wanted_where_the_rows_allow_it() -> None:
    assert batch_size_for(1) == 256
    assert batch_size_for(60_000) == 256
    assert batch_size_for(250_000) == 1024
    assert batch_size_for(10**9) == 4096
    for rows in np.geomspace(52_000, 800_000, 20):
        assert math.floor(rows) / batch_size_for(math.floor(rows)) >= 195
