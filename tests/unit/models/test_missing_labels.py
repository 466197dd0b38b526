"""A row that lacks one of the labels counts for the others, and for nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from models import metrics, registry
from models.errors import ConfigInvalid, InputInvalid
from models.loss import mean_cross_entropy
from models.ranker import Ranker
from models.scoring.precision import PrecisionReport, worst
from models.signature import Signature
from models.training.calibration import platt
from models.training.config import TrainConfig
from models.training.data import Rows, TrainingFiles, read_all
from models.training.fitting import base_logits, fit
from models.training.trainer import TrainedModel, train
from models.vocabulary import KeyCounts
from tests.unit.models.conftest import SIGNATURE, sample, small, write

seeds = st.integers(0, 1_000)


def batch(seed: int, rows: int = 40, labels: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels (rows, labels), of which about half are missing."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(rows, labels)).astype(np.float32))
    told = rng.integers(0, 2, (rows, labels)).astype(np.float32)
    told[rng.random(told.shape) < 0.5] = np.nan
    return logits.requires_grad_(), torch.from_numpy(told)


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return mean_cross_entropy(logits, labels, weights_B=torch.ones(len(labels)))


def gradient(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss_of(logits, labels), logits)
    return found


@given(seed=seeds)
def test_what_one_label_lacks_changes_neither_loss_nor_gradient_of_another(seed: int) -> None:
    logits, labels = batch(seed)
    fewer = labels.clone()
    fewer[torch.rand(len(labels)) < 0.5, 1] = torch.nan
    assert torch.equal(gradient(logits, labels)[:, 0], gradient(logits, fewer)[:, 0])
    assert bool((gradient(logits, fewer)[:, 1][torch.isnan(fewer[:, 1])] == 0).all())


@given(seed=seeds)
def test_a_label_is_as_it_would_be_on_its_own_rows_alone(seed: int) -> None:
    logits, labels = batch(seed)
    each = []
    for t in range(2):
        has = ~torch.isnan(labels[:, t])
        own = F.binary_cross_entropy_with_logits(logits[has, t], labels[has, t])
        each.append(own if bool(has.any()) else torch.zeros(()))
    assert loss_of(logits, labels).item() == pytest.approx(
        torch.stack(each).mean().item(), rel=1e-5
    )


def test_a_batch_in_which_no_row_has_a_label_learns_from_the_other() -> None:
    logits, labels = batch(1)
    labels[:, 1] = torch.nan
    assert torch.isfinite(loss_of(logits, labels))
    assert bool((gradient(logits, labels)[:, 1] == 0).all())


@pytest.mark.parametrize("name", ["lr", "finalnet"])
def test_models_learn_nothing_from_what_is_missing(name: str) -> None:
    data = sample(64)
    counts = KeyCounts(SIGNATURE.categorical)
    counts.update(data.keys)
    ranker: Ranker = registry.get(name).build(small(name), SIGNATURE, counts.fit())
    ranker.eval()
    labels = torch.from_numpy(data.labels)
    labels[::2, 1] = torch.nan
    rows = torch.from_numpy(data.keys), torch.from_numpy(np.nan_to_num(data.values))
    ones = torch.ones(len(labels))
    whole = ranker.loss(*rows, labels, ones)
    assert bool(torch.isfinite(whole))
    # The other half of the rows may say whatever they like of the label that they do not have.
    with torch.no_grad():
        half = ranker.loss(*(column[1::2] for column in (*rows, labels, ones)))
        firsts = labels.clone()
        firsts[:, 1] = torch.nan
        first = ranker.loss(*rows, firsts, ones)
        first_half = ranker.loss(*(column[1::2] for column in (*rows, firsts, ones)))
    assert whole.item() - first.item() == pytest.approx(half.item() - first_half.item(), abs=1e-5)


def test_base_rates_are_of_the_rows_that_have_the_label() -> None:
    found = base_logits(np.array([10.0, 3.0]), np.array([100.0, 10.0]))
    assert torch.sigmoid(torch.from_numpy(found)).numpy() == pytest.approx([0.104, 0.318], abs=1e-3)
    rows = sample(400)
    rows.labels[::2, 1] = np.nan
    group = type("Alone", (), {"leads": True, "share_arrays": lambda _, arrays, __: arrays})()
    begun = fit([rows], SIGNATURE, 1, group).base_logit
    rates = np.nanmean(rows.labels, 0)
    assert torch.sigmoid(torch.from_numpy(begun)).numpy() == pytest.approx(rates, abs=5e-3)


@given(seed=seeds)
def test_metrics_and_calibration_are_of_the_rows_that_have_the_label(seed: int) -> None:
    logits, labels = (column.detach().numpy() for column in batch(seed, rows=200))
    own, own_logits = metrics.labelled(labels[:, 0], logits[:, 0])
    assert len(own) == (~np.isnan(labels[:, 0])).sum()
    other = logits.copy()
    other[np.isnan(labels[:, 0]), 0] = 99.0
    again = metrics.labelled(labels[:, 0], other[:, 0])
    assert platt(again[1].astype(float), again[0].astype(float)) == platt(
        own_logits.astype(float), own.astype(float)
    )


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_label_is_read_as_nan_whether_null_or_nan(
    tmp_path: Path, missing: float | None
) -> None:
    pytest.importorskip("petastorm", reason="petastorm is not installed")
    signature = Signature(categorical=("user",), numeric=(), labels=("click", "order"))
    columns = {
        "k_user": pa.array([1, 2, 3, 4], pa.int64()),
        "y_click": pa.array([0.0, 1.0, 1.0, 0.0], pa.float32()),
        "y_order": pa.array([missing, 1.0, 0.0, missing], pa.float32()),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=2)
    found = read_all(TrainingFiles.of([tmp_path / "a.parquet"]), signature).labels
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 1], np.array([np.nan, 1, 0, np.nan], np.float32))
    np.testing.assert_array_equal(found[:, 0], [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.inf, "y_buy: every label"), (0.5, "y_buy: every label"), (np.nan, "a row has no label")],
)
def test_what_is_no_label_is_refused(tmp_path: Path, value: float, message: str) -> None:
    pytest.importorskip("petastorm", reason="petastorm is not installed")
    rows = sample(20)
    rows.labels[3] = (np.nan, value)
    with pytest.raises(InputInvalid, match=message):
        read_all(write(rows, tmp_path / "a.parquet"), SIGNATURE)


def missing_buys(rows: int, seed: int) -> Rows:
    """Rows of which only those with a click have the second label, which the age tells."""
    found = sample(rows, seed=seed)
    found.labels[:, 1] = np.nan_to_num(found.values[:, 1], nan=50) > 50
    found.labels[found.labels[:, 0] == 0, 1] = np.nan
    return found


def trained(folder: Path, valid: Rows, **options: object) -> TrainedModel:
    files = [
        write(data, folder / f"{n}.parquet")
        for n, data in enumerate((missing_buys(2000, 0), valid))
    ]
    config = replace(
        TrainConfig(epochs=6, batch_size=128, learning_rate=0.02, device="cpu"), **options
    )
    return train("lr", small("lr"), SIGNATURE, files[0], files[1], config)


def test_a_label_that_most_rows_lack_is_learned_calibrated_and_measured(tmp_path: Path) -> None:
    pytest.importorskip("petastorm", reason="petastorm is not installed")
    valid = missing_buys(1000, 1)
    found = trained(tmp_path, valid, calibration="platt")
    each = found.metrics["labels"]
    has = ~np.isnan(valid.labels[:, 1])
    assert (each["click"]["rows"], each["buy"]["rows"]) == (1000, has.sum())
    assert each["buy"]["auc"] > 0.9
    with torch.no_grad():
        logits = found.module(torch.from_numpy(valid.keys), torch.from_numpy(valid.values))
    scores = torch.sigmoid(logits).numpy()
    assert scores[has, 1].mean() == pytest.approx(valid.labels[has, 1].mean(), abs=5e-3)
    np.testing.assert_allclose(
        found.history[-1].auc, (each["click"]["auc"] + each["buy"]["auc"]) / 2, atol=0.05
    )


def test_a_label_of_one_class_in_the_validation_rows_is_named(tmp_path: Path) -> None:
    pytest.importorskip("petastorm", reason="petastorm is not installed")
    valid = missing_buys(300, 1)
    valid.labels[:, 1] = np.where(np.isnan(valid.labels[:, 1]), np.nan, 1.0)
    with pytest.raises(ConfigInvalid, match="validation: label='buy': needs both classes"):
        trained(tmp_path, valid)


def test_the_guard_of_a_precision_keeps_the_worst_of_all_labels() -> None:
    changes = dict.fromkeys(("auc", "logloss", "rank", "score", "top", "ties"), 0.1)
    one = PrecisionReport(rows=300, **changes)
    other = PrecisionReport(rows=100, **{**changes, "auc": 0.3, "top": 0.0})
    assert worst([one, other]) == PrecisionReport(rows=100, **{**changes, "auc": 0.3})
