"""Training gives the best epoch, the same one every time, and stops when it must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models import metrics
from models.errors import ConfigInvalid, NonFiniteLoss, UnknownModel
from models.ranker import Ranker
from models.training.config import EpochReport, TrainConfig
from models.training.data import Rows, read_all
from models.training.trainer import TrainedModel, train
from models.zoo.dcnv2 import DCNv2Config
from tests.unit.models.conftest import ONE_LABEL, SIGNATURE, Sets, sample, save, small, write

pytest.importorskip("petastorm", reason="petastorm is not installed")
QUICK = TrainConfig(epochs=2, batch_size=256, learning_rate=0.01, device="cpu")


def run(sets: Sets, model: str = "dcnv2", config: TrainConfig = QUICK) -> TrainedModel:
    return train(model, small(model), SIGNATURE, sets.train, sets.valid, config)


def weights(trained: TrainedModel) -> dict[str, torch.Tensor]:
    return trained.module.state_dict()


def test_the_same_seed_gives_the_same_model_and_another_another(sets: Sets) -> None:
    state = torch.random.get_rng_state()
    first, second = run(sets), run(sets)
    assert all(torch.equal(weights(second)[n], t) for n, t in weights(first).items())
    other = run(sets, config=TrainConfig(epochs=2, batch_size=256, seed=1, device="cpu"))
    assert not torch.equal(other.module.table, first.module.table)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_streamed_and_cached_data_train_alike(sets: Sets) -> None:
    streamed = TrainConfig(
        epochs=2, batch_size=256, learning_rate=0.01, device="cpu", memory_bytes=0
    )
    assert abs(run(sets, config=streamed).metrics["auc"] - run(sets).metrics["auc"]) < 0.05


def test_the_best_epoch_is_kept_and_a_plateau_cuts_the_rate_and_stops(sets: Sets) -> None:
    reports: list[EpochReport] = []
    config = TrainConfig(
        epochs=40,
        batch_size=128,
        learning_rate=0.05,
        patience=2,
        device="cpu",
        embedding_l2=0.0,
        monitor="auc",
    )
    trained = train(
        "finalmlp", small("finalmlp"), SIGNATURE, sets.train, sets.valid, config, reports.append
    )
    assert tuple(reports) == trained.history
    assert len(reports) < 40
    labels = trained.metrics["labels"]
    best = max(r.auc for r in reports)
    assert np.mean([labels[n]["auc"] for n in SIGNATURE.labels]) == pytest.approx(best, abs=1e-6)
    assert reports[-1].learning_rate < reports[0].learning_rate
    assert not any(r.is_best for r in reports[-2:])


def test_metrics_can_be_written_as_json(sets: Sets) -> None:
    trained = run(sets, "lr")
    assert json.loads(json.dumps(trained.metrics, allow_nan=False))["rows"] == 1000
    assert not trained.module.training


def test_numeric_scale_is_that_of_the_training_rows(sets: Sets) -> None:
    mean = run(sets, "lr").module.dense.numeric.mean
    assert mean.numpy() == pytest.approx([50, 50], abs=1.0)


def test_a_loss_that_is_not_finite_stops_the_training(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(Ranker, "loss", lambda self, *rows: self(*rows[:2]).sum() * nan)
    with pytest.raises(NonFiniteLoss, match="lr: loss=nan at epoch 1 step 1"):
        run(sets, "lr")


def rare(rows: int, seed: int) -> Rows:
    """Rows of which one in 200 is positive, and nearly all of these have the same key."""
    data = sample(rows, ONE_LABEL, seed)
    rng = np.random.default_rng([seed, 1])
    is_hot = data.keys[:, 0] == np.unique(data.keys[:, 0])[5]
    odds = np.where(is_hot, 0.08, 0.001)
    return data._replace(labels=(rng.random(rows) < odds).astype(np.float32)[:, None])


@pytest.mark.parametrize("name", ["lr", pytest.param("fm", marks=pytest.mark.slow)])
def test_rare_events_are_learned_with_the_defaults(tmp_path: Path, name: str) -> None:
    train_files = write(rare(40_000, 0), tmp_path / "a.parquet", ONE_LABEL, group=20_000)
    valid = rare(40_000, 1)
    valid_files = write(valid, tmp_path / "b.parquet", ONE_LABEL, group=20_000)
    config = TrainConfig(epochs=6, device="cpu")
    found = train(name, small(name), ONE_LABEL, train_files, valid_files, config)
    rate = np.full(len(valid.labels), valid.labels.mean())
    assert found.metrics["logloss"] < 0.95 * metrics.logloss(valid.labels[:, 0], rate)
    assert found.history[0].logloss < 1.05 * metrics.logloss(valid.labels[:, 0], rate)


def test_a_model_begins_at_the_base_rate(sets: Sets) -> None:
    trained = run(sets, "lr", TrainConfig(epochs=1, learning_rate=1e-8, device="cpu"))
    labels = read_all(sets.train, SIGNATURE).labels
    begun = torch.sigmoid(trained.module.dense.shift).numpy()
    assert begun == pytest.approx(labels.mean(0), abs=1e-3)


def test_calibration_fits_the_validation_rows_and_keeps_their_order(sets: Sets) -> None:
    base = TrainConfig(epochs=2, batch_size=256, learning_rate=0.01, device="cpu")
    plain, moved = run(sets, config=base), run(sets, config=replace(base, calibration="platt"))
    rows = read_all(sets.valid, SIGNATURE)
    scores = []
    for trained in (plain, moved):
        with torch.no_grad():
            logits = trained.module(torch.from_numpy(rows.keys), torch.from_numpy(rows.values))
        scores.append(torch.sigmoid(logits).numpy())
    for t, name in enumerate(SIGNATURE.labels):
        assert moved.metrics["labels"][name]["logloss"] <= plain.metrics["labels"][name]["logloss"]
        assert scores[1][:, t].mean() == pytest.approx(rows.labels[:, t].mean(), abs=2e-3)
        ranks = [metrics.midranks(score[:, t].astype(np.float64)) for score in scores]
        assert np.abs(ranks[0] - ranks[1]).max() <= 1


def test_averaged_weights_are_what_is_kept_and_each_way_learns(sets: Sets) -> None:
    base = TrainConfig(epochs=6, batch_size=128, learning_rate=0.01, device="cpu")
    ways = [
        base,
        replace(base, average=0.95),
        replace(base, schedule="cosine", warmup_steps=20, max_grad_norm=1.0),
        replace(base, optimizer="adamw", monitor="logloss"),
        replace(base, optimizer="adagrad", learning_rate=0.1),
    ]
    found = [run(sets, "fm", config) for config in ways]
    assert min(trained.metrics["auc"] for trained in found) > 0.75
    tables = [trained.module.table for trained in found]
    assert not any(torch.equal(tables[0], table) for table in (*tables[1:3], tables[4]))


def test_of_epochs_the_one_with_the_least_logloss_is_kept_if_that_is_asked_for(sets: Sets) -> None:
    config = TrainConfig(
        epochs=12, batch_size=128, learning_rate=0.05, device="cpu", embedding_l2=0.0,
        monitor="logloss",
    )  # fmt: skip
    trained = run(sets, "finalmlp", config)
    labels = trained.metrics["labels"]
    least = min(report.logloss for report in trained.history)
    assert np.mean([labels[n]["logloss"] for n in SIGNATURE.labels]) == pytest.approx(least)


def test_validation_needs_both_classes(sets: Sets, tmp_path: Path) -> None:
    rows = sample(50)
    rows.labels[:] = 0
    valid = write(rows, tmp_path / "valid.parquet")
    with pytest.raises(ConfigInvalid, match="both classes"):
        train("lr", None, SIGNATURE, sets.train, valid, QUICK)


def test_an_unknown_model_or_anothers_config_is_refused(sets: Sets) -> None:
    with pytest.raises(UnknownModel):
        train("bert", None, SIGNATURE, sets.train, sets.valid, QUICK)
    with pytest.raises(ConfigInvalid, match="LRConfig"):
        train("lr", DCNv2Config(), SIGNATURE, sets.train, sets.valid, QUICK)


def test_a_model_without_numeric_features_trains(tmp_path: Path) -> None:
    files = write(sample(600, ONE_LABEL), tmp_path / "a.parquet", ONE_LABEL)
    trained = train("dcnv2", small("dcnv2"), ONE_LABEL, files, files, QUICK)
    assert trained.metrics["rows"] == 600


WORKER = """
import sys, json, torch
from models.training.config import TrainConfig
from models.training.trainer import train
from models.training.data import TrainingFiles
from tests.unit.models.conftest import SIGNATURE, small
torch.set_num_threads(1)
if __name__ == "__main__":
    files = TrainingFiles.of([sys.argv[1]])
    valid = TrainingFiles.of([sys.argv[2]])
    trained = train("fibinet", small("fibinet"), SIGNATURE, files, valid,
                    TrainConfig(epochs=7, batch_size=256, learning_rate=0.01, embedding_l2=0.0,
                                device="cpu"))
    total = sum(float(t.double().sum()) for t in trained.module.state_dict().values())
    print("RESULT", json.dumps([total, trained.metrics["auc"]]), flush=True)
"""


@pytest.mark.slow
def test_two_processes_train_one_model(sets: Sets, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    root = Path(__file__).parents[3]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
        str(script), sets.train.files[0], sets.valid.files[0],
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = [
        json.loads(line.partition("RESULT ")[2])
        for line in done.stdout.splitlines()
        if "RESULT " in line
    ]
    assert len(results) == 2
    assert results[0] == pytest.approx(results[1])
    assert results[0][1] > 0.8  # user x item was found, which alone gives .9


def test_the_same_training_gives_the_same_bundle_byte_for_byte(sets: Sets, tmp_path: Path) -> None:
    refs = [save(run(sets, "fm"), tmp_path / name) for name in ("first", "second")]
    assert refs[0].digest == refs[1].digest
