"""Tiny trained models and their bundles, made once in a run: a compile takes about 10 s."""

from __future__ import annotations

import dataclasses
import os
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

from models import registry
from models.registry import MODELS
from models.scoring import bundle as bundles
from models.scoring.bundle import Bundle, BundleRef
from models.signature import Signature
from models.training.config import TrainConfig
from models.training.data import WEIGHT, Rows, TrainingFiles
from models.training.trainer import TrainedModel, train
from tests.once import made_once

SIGNATURE = Signature(
    categorical=("user", "item", "place"), numeric=("price", "age"), labels=("click", "buy")
)
ONE_LABEL = Signature(categorical=("user", "item"), numeric=(), labels=("click",))
SMALLER: dict[str, Any] = {
    "embedding_dim": 4, "cross_layers": 2, "hidden": (16, 8), "dropout": 0.1, "cross_maps": (6, 4),
    "block_dim": 8, "blocks": 2, "attention_layers": 2, "attention_dim": 8, "heads": 2,
    "first_hidden": (16,), "second_hidden": (8,), "gate_hidden": (8,), "first_gate": ("user",),
    "rank": 4, "experts": 2, "orders": (6, 4), "neurons": 4, "cross_hidden": (8,),
}  # fmt: skip


def small(model: str) -> Any:
    """Return the config that a model is tested with: its own, with what has a size made small."""
    config = registry.get(model).config_class()
    names = {field.name for field in dataclasses.fields(config)}
    # An empty `hidden` is a choice of the model: it has no deep part.
    made = {
        n: v for n, v in SMALLER.items() if n in names and (n == "first_gate" or getattr(config, n))
    }
    return dataclasses.replace(config, **made)


NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="no g++: AOTInductor cannot compile here"
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def sample(rows: int, signature: Signature = SIGNATURE, seed: int = 0) -> Rows:
    """Rows whose label depends on user x item and on the first numeric, with missing values."""
    rng = np.random.default_rng(seed)
    columns = len(signature.key_columns)
    known = np.random.default_rng(99).integers(
        -(2**63), 2**63 - 1, (max(3, columns), 20), dtype=np.int64
    )
    index = rng.integers(0, 20, (rows, columns))
    keys = np.stack([known[f][index[:, f]] for f in range(index.shape[1])], 1)
    keys[rng.random(keys.shape) < 0.02] = 0
    values = rng.normal(50, 10, (rows, len(signature.value_columns))).astype(np.float32)
    signal = 2.0 * (((index[:, 0] + index[:, 1]) % 2) * 2 - 1)
    if len(signature.numeric):
        signal = signal + (values[:, 0] - 50) / 10
    values[rng.random(values.shape) < 0.05] = np.nan
    odds = 1 / (1 + np.exp(-signal[:, None])) * np.ones(len(signature.labels))
    labels = (rng.random(odds.shape) < odds).astype(np.float32)
    return Rows(keys, values, labels, np.ones(rows, np.float32))


def write(
    rows: Rows,
    path: Path,
    signature: Signature = SIGNATURE,
    group: int = 500,
    *,
    weighted: bool = False,
) -> TrainingFiles:
    """Write rows as one Parquet file of the training layout, with their weights if asked for."""
    columns = {f"k_{n}": rows.keys[:, i] for i, n in enumerate(signature.key_columns)}
    columns |= {f"v_{n}": rows.values[:, i] for i, n in enumerate(signature.value_columns)}
    columns |= {f"y_{n}": rows.labels[:, i] for i, n in enumerate(signature.labels)}
    columns |= {WEIGHT: rows.weights} if weighted else {}
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

    def __init__(self, factory: pytest.TempPathFactory, sets: Sets) -> None:
        self._factory, self._sets = factory, sets
        self._trained: dict[str, TrainedModel] = {}
        self._saved: dict[tuple[str, bool], Saved] = {}

    def __getitem__(self, name: str) -> Saved:
        return self._get(name, compiled=shutil.which("g++") is not None)

    def portable(self, name: str) -> Saved:
        """The same model without the compiled package, which is what takes its time."""
        return self._get(name, compiled=False)

    def trained(self, name: str) -> TrainedModel:
        """The trained model alone."""
        if name not in self._trained:
            # A fixture of a whole module comes before those of a test. Any process is to train the
            # same model to the last bit, so that one's package is the other's too.
            torch.set_num_threads(1)
            self._trained[name] = train(
                name, small(name), SIGNATURE, self._sets.train, self._sets.valid,
                TrainConfig(epochs=4, batch_size=256, learning_rate=0.01, device="cpu"),
            )  # fmt: skip
        return self._trained[name]

    def _get(self, name: str, *, compiled: bool) -> Saved:
        if (name, compiled) not in self._saved:
            trained = self.trained(name)
            path = made_once(
                self._factory,
                f"zoo-{name}-{compiled}",
                lambda folder: save(trained, folder, compiled=compiled),
            )
            ref = BundleRef(path, bundles.sha256(path / bundles.MANIFEST))
            saved = Saved(trained, ref, bundles.load(ref.path, ref.digest))
            self._saved[name, compiled] = saved
        return self._saved[name, compiled]


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
    return Zoo(tmp_path_factory, sets)


COMPILED_EACH_TIME = frozenset({"dcnv2", "finalmlp"})
"""Models whose package the quick tests compile; that of every other is left to the slow ones."""


def tested() -> list[str]:
    """Return the models that the tests run over: the zoo's, or the one of `make check-model`."""
    if "NIGHTSCORE_TEST_MODEL" in os.environ:
        return [registry.resolve(os.environ["NIGHTSCORE_TEST_MODEL"])]
    return sorted(MODELS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "form" in metafunc.fixturenames:
        forms = [pytest.param(model, "export") for model in tested()]
        for model in tested():
            is_quick = model in COMPILED_EACH_TIME or model not in MODELS
            slow = () if is_quick else (pytest.mark.slow,)
            forms.append(pytest.param(model, "aoti", marks=[NEEDS_COMPILER, *slow]))
        metafunc.parametrize(("model", "form"), forms)
    elif "model" in metafunc.fixturenames:
        metafunc.parametrize("model", tested())
