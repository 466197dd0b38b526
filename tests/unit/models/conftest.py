"""Tiny trained models and their bundles, made once per session: a compile takes about 10 s."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from models.registry import MODELS
from models.scoring import bundle as bundles
from models.scoring.bundle import Bundle, BundleRef
from models.signature import Signature
from models.training.data import Rows, TrainingFiles
from models.training.trainer import TrainConfig, TrainedModel, train
from models.zoo.dcnv2 import DCNv2Config
from models.zoo.finalmlp import FinalMLPConfig
from models.zoo.fm import FMConfig
from models.zoo.lr import LRConfig

SIGNATURE = Signature(
    categorical=("user", "item", "place"), numeric=("price", "age"), labels=("click", "buy")
)
ONE_LABEL = Signature(categorical=("user", "item"), numeric=(), labels=("click",))
SMALL = {
    "lr": LRConfig(),
    "fm": FMConfig(embedding_dim=4),
    "dcnv2": DCNv2Config(embedding_dim=4, cross_layers=2, hidden=(16, 8), dropout=0.1),
    "finalmlp": FinalMLPConfig(
        embedding_dim=4, first_hidden=(16,), second_hidden=(8,), gate_hidden=(8,), heads=2,
        first_gate=("user",), dropout=0.1,
    ),
}  # fmt: skip


def small(model: str) -> Any:
    """Return the config that a model is tested with: its defaults, where there is no small one."""
    return SMALL[model] if model in SMALL else MODELS[model].config_class()


NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: AOTInductor cannot compile here"
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sample(rows: int, signature: Signature = SIGNATURE, seed: int = 0) -> Rows:
    """Rows whose label depends on user x item and on the first numeric, with missing values."""
    rng = np.random.default_rng(seed)
    known = np.random.default_rng(99).integers(-(2**63), 2**63 - 1, (3, 20), dtype=np.int64)
    index = rng.integers(0, 20, (rows, len(signature.categorical)))
    keys = np.stack([known[f][index[:, f]] for f in range(index.shape[1])], 1)
    keys[rng.random(keys.shape) < 0.02] = 0
    values = rng.normal(50, 10, (rows, len(signature.numeric))).astype(np.float32)
    signal = 2.0 * (((index[:, 0] + index[:, 1]) % 2) * 2 - 1)
    if len(signature.numeric):
        signal = signal + (values[:, 0] - 50) / 10
    values[rng.random(values.shape) < 0.05] = np.nan
    odds = 1 / (1 + np.exp(-signal[:, None])) * np.ones(len(signature.labels))
    labels = (rng.random(odds.shape) < odds).astype(np.float32)
    return Rows(keys, values, labels)


def write(
    rows: Rows, path: Path, signature: Signature = SIGNATURE, group: int = 500
) -> TrainingFiles:
    """Write rows as one Parquet file of the training layout."""
    columns = {f"k_{n}": rows.keys[:, i] for i, n in enumerate(signature.categorical)}
    columns |= {f"v_{n}": rows.values[:, i] for i, n in enumerate(signature.numeric)}
    columns |= {f"y_{n}": rows.labels[:, i] for i, n in enumerate(signature.labels)}
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return TrainingFiles.of([path])


@dataclass(frozen=True)
class Sets:
    """A training and a validation set."""

    train: TrainingFiles
    valid: TrainingFiles


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("sets")
    return Sets(
        train=write(sample(3000), folder / "train.parquet"),
        valid=write(sample(1000, seed=1), folder / "valid.parquet"),
    )


@dataclass(frozen=True)
class Saved:
    """A trained model, its bundle on disk and the loaded bundle."""

    trained: TrainedModel
    ref: BundleRef
    bundle: Bundle


class Zoo:
    """Trains, saves and loads each model at its first use."""

    def __init__(self, folder: Path, sets: Sets) -> None:
        self._folder, self._sets = folder, sets
        self._saved: dict[str, Saved] = {}

    def __getitem__(self, name: str) -> Saved:
        if name not in self._saved:
            self._saved[name] = self._make(name)
        return self._saved[name]

    def _make(self, name: str) -> Saved:
        trained = train(
            name, small(name), SIGNATURE, self._sets.train, self._sets.valid,
            TrainConfig(epochs=3, batch_size=256, learning_rate=0.01, device="cpu"),
        )  # fmt: skip
        ref = save(trained, self._folder / name, compiled=shutil.which("g++") is not None)
        return Saved(trained, ref, bundles.load(ref.path, ref.digest))


def save(trained: TrainedModel, path: Path, *, compiled: bool = False) -> BundleRef:
    """Save a bundle with 16 golden rows."""
    golden = sample(16, trained.signature, seed=7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return bundles.save(
            path, trained, signature=trained.signature, metrics=trained.metrics,
            data={"features": {"2013-01-01": 3}}, encoding_digest="e" * 64,
            golden_keys=golden.keys, golden_values=golden.values, compiled=compiled,
        )  # fmt: skip


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory, sets: Sets) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"), sets)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "model" in metafunc.fixturenames:
        metafunc.parametrize("model", sorted(MODELS))
