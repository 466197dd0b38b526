"""Sparse gradients are dense ones, but for rows of the table that a batch does not hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.errors import ConfigInvalid
from models.training import sparse
from models.training.config import TrainConfig
from models.training.loop import Run
from models.training.optimizer import cut_gradients, make_sparse_optimizer, regularise_seen_rows
from models.training.sparse import wants_sparse
from models.training.trainer import TrainedModel, train
from tests.unit.models.conftest import SIGNATURE, Sets, small

pytest.importorskip("petastorm", reason="petastorm is not installed")
DENSE = TrainConfig(
    epochs=2, batch_size=256, learning_rate=0.01, device="cpu", sparse_gradients=False,
    embedding_l2=0.01, max_grad_norm=0.1, average=0.9,
)  # fmt: skip
SPARSE = replace(DENSE, sparse_gradients=True)


def run(sets: Sets, config: TrainConfig, model: str = "dcnv2") -> TrainedModel:
    return train(model, small(model), SIGNATURE, sets.train, sets.valid, config)


# FinalNet's loss is its own, and takes the table twice.
@pytest.mark.parametrize("name", ["fm", "finalnet"])
def test_adagrad_comes_to_the_same_weights_either_way(sets: Sets, name: str) -> None:
    found = [
        run(sets, replace(config, optimizer="adagrad"), name).module.state_dict()
        for config in (DENSE, SPARSE)
    ]
    assert found[0].keys() == found[1].keys()
    for tensor, dense in found[0].items():
        np.testing.assert_allclose(found[1][tensor], dense, rtol=1e-3, atol=2e-5, err_msg=tensor)


def test_adam_learns_as_well_either_way_and_the_model_that_is_left_is_to_be_exported(
    sets: Sets,
) -> None:
    dense, found = run(sets, DENSE), run(sets, SPARSE)
    assert found.metrics["auc"] == pytest.approx(dense.metrics["auc"], abs=0.03)
    assert not found.module.dense.has_sparse_gradients
    again = run(sets, SPARSE)
    assert torch.equal(found.module.table, again.module.table)


def test_a_step_moves_no_row_but_those_of_its_batch(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under dense gradients Adam moves a row on, for some steps, that it has moved before."""
    held: list[set[int]] = []
    moved: list[set[int]] = []
    step = Run.take_step

    def watched(self: Run, *rows: torch.Tensor) -> torch.Tensor:
        before = self.ranker.table.detach().clone()
        found = self.ranker.dense.lookup(rows[0], self.ranker.slots)
        loss = step(self, *rows)
        held.append(set(found.flatten().tolist()))
        changed = (self.ranker.table.detach() != before).any(1)
        moved.append(set(changed.nonzero()[:, 0].tolist()))
        return loss

    monkeypatch.setattr(Run, "take_step", watched)
    config = replace(SPARSE, batch_size=8, epochs=1)
    run(sets, config)
    assert len(held) > 50
    assert all(here <= there for here, there in zip(moved, held, strict=True))
    assert set.union(*moved) - held[-1]
    moved.clear()
    held.clear()
    run(sets, replace(config, sparse_gradients=False))
    assert not all(here <= there for here, there in zip(moved, held, strict=True))


def test_a_large_table_has_sparse_gradients_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sparse, "SPARSE_ROWS", 100)
    assert wants_sparse(TrainConfig(), 100)
    assert not wants_sparse(TrainConfig(), 99)
    assert wants_sparse(TrainConfig(sparse_gradients=True), 1)
    assert not wants_sparse(TrainConfig(sparse_gradients=False), 100)
    assert not wants_sparse(TrainConfig(optimizer="lion"), 100)


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_an_optimiser_that_moves_every_row_is_refused_with_them(optimizer: str) -> None:
    told = "sparse_gradients=True: must be False or None with optimizer="
    with pytest.raises(ConfigInvalid, match=told + optimizer):
        TrainConfig(sparse_gradients=True, optimizer=optimizer)  # type: ignore[arg-type]


def gradients(*, is_sparse: bool) -> list[nn.Parameter]:
    """A table and a weight with gradients; row 2 of the table is held twice, row 1 is not."""
    torch.manual_seed(3)
    table, weight = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
    found = nn.functional.embedding(torch.tensor([0, 2, 2, 3]), table, sparse=is_sparse)
    torch.autograd.backward((found @ weight).square().sum())
    if is_sparse:
        assert table.grad is not None
        table.grad = table.grad.coalesce()
    return [table, weight]


@pytest.mark.parametrize("most", [0.5, 1e6])
def test_gradients_are_drawn_to_zero_and_cut_alike(most: float) -> None:
    dense, found = gradients(is_sparse=False), gradients(is_sparse=True)
    for each in (dense, found):
        regularise_seen_rows(each[0], 0.3)
    expected = [parameter.grad for parameter in dense]
    nn.utils.clip_grad_norm_(dense, most)
    cut_gradients(found, most)
    for one, grad in zip(found, expected, strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad.to_dense(), grad)
    norm = torch.cat([p.grad.to_dense().flatten() for p in found if p.grad is not None]).norm()
    assert norm <= most * 1.001


def test_a_row_that_is_not_held_keeps_its_momentum() -> None:
    table = nn.Parameter(torch.ones(2, 1))
    optimizer = make_sparse_optimizer(table, TrainConfig(learning_rate=0.1))
    for row in (0, 1, 1, 1):
        optimizer.zero_grad()
        found = nn.functional.embedding(torch.tensor([row]), table, sparse=True)
        torch.autograd.backward(found.sum())
        optimizer.step()
        assert table[0].item() == pytest.approx(0.9)
    assert table[1].item() < 0.8
