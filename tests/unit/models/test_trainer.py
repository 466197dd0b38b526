"""Training gives the best epoch, the same one every time, and stops when it must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import ConfigInvalid, NonFiniteLoss, UnknownModel
from models.training.trainer import EpochReport, TrainConfig, TrainedModel, train
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
        epochs=40, batch_size=128, learning_rate=0.05, patience=2, device="cpu", embedding_l2=0.0
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
    monkeypatch.setattr(
        "models.training.trainer.F.binary_cross_entropy_with_logits",
        lambda logits, _: logits.sum() * nan,
    )
    with pytest.raises(NonFiniteLoss, match="lr: loss=nan at epoch 1 step 1"):
        run(sets, "lr")


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
from models.training.trainer import train, TrainConfig
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
