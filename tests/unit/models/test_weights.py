"""A row that stands for several counts as so many, from the file to the loss; one of 1 as ever."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputInvalid
from models.loss import mean_cross_entropy
from models.training.config import TrainConfig
from models.training.data import Rows, TrainingFiles, read_all
from models.training.feed import Feed
from models.training.fitting import fit
from models.training.trainer import TrainedModel, train
from tests.unit.models.conftest import ONE_LABEL, SIGNATURE, sample, small, write

pytest.importorskip("petastorm", reason="petastorm is not installed")
seeds = st.integers(0, 1_000)


def batch(seed: int, rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels (rows, 2), of which about a third are missing."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(rows, 2)).astype(np.float32))
    told = rng.integers(0, 2, (rows, 2)).astype(np.float32)
    told[rng.random(told.shape) < 1 / 3] = np.nan
    return logits.requires_grad_(), torch.from_numpy(told)


def unweighted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The mean over the labels of each one's mean over the rows that have it."""
    has_label = ~torch.isnan(labels)
    losses = F.binary_cross_entropy_with_logits(
        logits, torch.where(has_label, labels, 0.0), reduction="none"
    )
    sums = torch.where(has_label, losses, 0.0).sum(0)
    return (sums / has_label.sum(0).clamp(min=1)).mean()


@given(seed=seeds, rows=st.integers(1, 300))
def test_of_rows_that_weigh_1_loss_and_gradient_are_to_the_bit_what_they_are_without(
    seed: int, rows: int
) -> None:
    logits, labels = batch(seed, rows)
    losses = [unweighted(logits, labels)]
    losses.append(mean_cross_entropy(logits, labels, weights_B=torch.ones(rows)))
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in losses]
    assert torch.equal(*losses)
    assert torch.equal(*gradients)


@given(seed=seeds)
def test_the_loss_of_weighted_rows_is_that_of_rows_repeated_so_many_times(seed: int) -> None:
    logits, labels = batch(seed)
    times = torch.from_numpy(np.random.default_rng(seed).integers(1, 6, len(labels)))
    found = mean_cross_entropy(logits, labels, weights_B=times.float())
    repeated = unweighted(logits.repeat_interleave(times, 0), labels.repeat_interleave(times, 0))
    assert found.item() == pytest.approx(repeated.item(), rel=1e-5)
    # Only how weights compare with one another matters, below 1 as well.
    halved = mean_cross_entropy(logits, labels, weights_B=times.float() / 16)
    assert halved.item() == pytest.approx(found.item(), rel=1e-5)


def weighted(rows: int, seed: int = 0, signature: object = SIGNATURE) -> Rows:
    """Rows of which each weighs another number."""
    found = sample(rows, signature, seed)  # type: ignore[arg-type]
    return found._replace(weights=np.arange(1, rows + 1, dtype=np.float32))


def test_weights_are_read_beside_their_rows_and_are_ones_where_there_are_none(
    tmp_path: Path,
) -> None:
    rows = weighted(1203)
    read = read_all(write(rows, tmp_path / "a.parquet", group=100, weighted=True), SIGNATURE)
    assert read.weights.dtype == np.float32
    np.testing.assert_array_equal(read.weights, rows.weights)
    np.testing.assert_array_equal(read.keys, rows.keys)
    without = read_all(write(rows, tmp_path / "b.parquet", group=100), SIGNATURE)
    assert without.weights.dtype == np.float32
    np.testing.assert_array_equal(without.weights, np.ones(1203))


@pytest.mark.parametrize("is_weighted", [True, False])
def test_a_store_gives_the_weights_that_a_disk_does(tmp_path: Path, is_weighted: bool) -> None:
    here = write(weighted(300), tmp_path / "a.parquet", group=100, weighted=is_weighted)
    filesystem = fsspec.filesystem("memory")
    filesystem.put(str(tmp_path), "/weights", recursive=True)
    try:
        there = TrainingFiles.of(["memory://weights/a.parquet"])
        for mine, stored in zip(read_all(here, SIGNATURE), read_all(there, SIGNATURE), strict=True):
            np.testing.assert_array_equal(mine, stored)
    finally:
        filesystem.rm("/weights", recursive=True)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (pa.array([1.0, 0.0], pa.float32()), "column weight has 0.0: .* finite and above 0"),
        (pa.array([1.0, -2.0], pa.float32()), "column weight has -2.0"),
        (pa.array([1.0, float("inf")], pa.float32()), "column weight has inf"),
        (pa.array([1.0, None], pa.float32()), "column weight has nan"),
        (pa.array([1.0, 2.0], pa.float64()), "column weight is float64, must be float32"),
    ],
)
def test_what_is_no_weight_is_refused(tmp_path: Path, weights: pa.Array, message: str) -> None:
    columns = {"k_user": [1, 2], "k_item": [1, 2], "y_click": pa.array([0, 1], pa.float32())}
    pq.write_table(pa.table({**columns, "weight": weights}), tmp_path / "a.parquet")
    with pytest.raises(InputInvalid, match=message):
        read_all(TrainingFiles.of([tmp_path / "a.parquet"]), ONE_LABEL)


@pytest.mark.parametrize("memory", [1 << 30, 0], ids=["cached", "streamed"])
def test_a_weight_stays_beside_its_row_in_every_order(
    tmp_path: Path, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.feed.CHUNK_ROWS", 150)
    rows = weighted(1001, signature=ONE_LABEL)
    rows.keys[:, 0] = np.arange(1, 1002)
    files = write(rows, tmp_path / "a.parquet", ONE_LABEL, group=90, weighted=True)
    feed = Feed(files=files, signature=ONE_LABEL, batch_size=100, memory_bytes=memory)
    seen = []
    for keys, _, labels, weights in feed.epoch(1):
        assert (weights.dtype, weights.shape) == (torch.float32, (len(labels),))
        assert torch.equal(weights, keys[:, 0].float())
        seen += weights.tolist()
    assert seen != sorted(seen)
    assert sorted(seen) == list(range(1, 1002))
    assert [len(weights) for *_, weights in feed.batches()] != []


def test_weights_count_for_whether_rows_fit_in_memory(tmp_path: Path) -> None:
    files = write(weighted(100), tmp_path / "a.parquet", weighted=True)
    row = 3 * 8 + 2 * 4 + 2 * 4 + 4

    def fits(memory: int) -> bool:
        return Feed(files=files, signature=SIGNATURE, batch_size=10, memory_bytes=memory).fits

    assert fits(100 * row)
    assert not fits(100 * row - 1)


class Alone:
    """A group of one process."""

    leads = True

    def share_arrays(self, arrays: list[np.ndarray], _: object) -> list[np.ndarray]:
        """Return the arrays."""
        return arrays


def test_a_model_begins_at_the_base_rate_of_the_whole_and_its_keys_are_those_read() -> None:
    rows = sample(4000)
    rows.labels[::2, 1] = np.nan
    times = np.random.default_rng(1).integers(1, 10, len(rows.labels))
    halves = [
        rows._replace(weights=times.astype(np.float32)).take(slice(i, None, 2)) for i in (0, 1)
    ]
    found = fit(halves, SIGNATURE, 1, Alone())  # type: ignore[arg-type]
    whole = np.repeat(rows.labels, times, 0)
    begun = torch.sigmoid(torch.from_numpy(found.base_logit)).numpy()
    assert begun == pytest.approx(np.nanmean(whole, 0), abs=1e-3)
    plain = fit([rows], SIGNATURE, 1, Alone())  # type: ignore[arg-type]
    assert abs(plain.base_logit - found.base_logit).max() > 1e-3
    np.testing.assert_array_equal(plain.vocabulary.slots, found.vocabulary.slots)
    np.testing.assert_allclose(plain.mean, found.mean, rtol=1e-6)


SHARE = 0.05


def rare(rows: int, seed: int) -> Rows:
    """Rows of which about one in 25 is positive; the user tells most of it."""
    found = sample(rows, ONE_LABEL, seed)
    rng = np.random.default_rng([seed, 1])
    is_hot = np.isin(found.keys[:, 0], np.unique(found.keys[:, 0])[:5])
    odds = np.where(is_hot, 0.12, 0.012)
    return found._replace(labels=(rng.random(rows) < odds).astype(np.float32)[:, None])


def trained(folder: Path, learnt: Rows, valid: Rows, *, is_weighted: bool) -> TrainedModel:
    files = write(learnt, folder / f"{is_weighted}.parquet", ONE_LABEL, weighted=is_weighted)
    held_out = write(valid, folder / "valid.parquet", ONE_LABEL)
    config = TrainConfig(epochs=4, batch_size=128, learning_rate=0.01, device="cpu")
    return train("lr", small("lr"), ONE_LABEL, files, held_out, config)


def mean_score(model: TrainedModel, rows: Rows) -> float:
    with torch.no_grad():
        logits = model.module(torch.from_numpy(rows.keys), torch.from_numpy(rows.values))
    return float(torch.sigmoid(logits).mean())


def test_what_is_learned_from_few_negatives_that_weigh_more_is_calibrated(tmp_path: Path) -> None:
    whole, valid = rare(40_000, 0), rare(20_000, 1)
    is_positive = whole.labels[:, 0] == 1
    is_kept = is_positive | (np.random.default_rng(3).random(len(whole.labels)) < SHARE)
    weights = np.where(is_positive, 1, 1 / SHARE).astype(np.float32)
    learnt = whole._replace(weights=weights).take(np.flatnonzero(is_kept))
    rate = float(valid.labels.mean())
    model = trained(tmp_path, learnt, valid, is_weighted=True)
    assert mean_score(model, valid) == pytest.approx(rate, rel=0.15)
    assert model.metrics["auc"] > 0.7
    assert mean_score(trained(tmp_path, learnt, valid, is_weighted=False), valid) > 3 * rate
