"""DCNv2 and FinalMLP as FuxiCTR trains them: its layers, its optimiser, its step and its loader.

Its package has the parts, and no models: these two are put together of its parts with the sizes
that the benchmark asks for. FinalMLP without its feature gates, which favours it.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders.parquet_dataloader import ParquetDataLoader
from fuxictr.pytorch.layers import CrossNetV2, FeatureEmbedding, MLP_Block
from fuxictr.pytorch.models import BaseModel
from torch import Tensor, nn

from models.training.data import Rows
from tests.benchmarks.training_case import Case
from tests.benchmarks.training_rows import SIGNATURE

COLUMNS = (*SIGNATURE.categorical, *SIGNATURE.numeric)
LABEL = SIGNATURE.labels[0]


class _Model(BaseModel):
    def __init__(self, feature_map: FeatureMap, case: Case) -> None:
        gpu = 0 if case.device.type == "cuda" else -1
        super().__init__(
            feature_map, gpu=gpu, verbose=0, model_root=tempfile.gettempdir(), metrics=["AUC"]
        )
        self.embedding_layer = FeatureEmbedding(feature_map, case.embedding_dim)
        self.inputs = feature_map.sum_emb_out_dim()

    def begin(self, case: Case) -> None:
        self.compile("adam", "binary_crossentropy", case.learning_rate)
        self.reset_parameters()
        self.model_to_device()


class DCNv2(_Model):
    """Cross layers beside a perceptron."""

    def __init__(self, feature_map: FeatureMap, case: Case) -> None:
        super().__init__(feature_map, case)
        self.cross = CrossNetV2(self.inputs, case.cross_layers)
        self.deep = MLP_Block(
            input_dim=self.inputs, hidden_units=list(case.hidden), hidden_activations="relu"
        )
        self.out = nn.Linear(self.inputs + case.hidden[-1], 1)
        self.begin(case)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        fields = self.embedding_layer(self.get_inputs(inputs)).flatten(start_dim=1)
        both = torch.cat([self.cross(fields), self.deep(fields)], -1)
        return {"y_pred": self.output_activation(self.out(both))}


class FinalMLP(_Model):
    """Two perceptrons, and the bilinear product of what they give, by heads."""

    def __init__(self, feature_map: FeatureMap, case: Case) -> None:
        super().__init__(feature_map, case)
        self.first, self.second = (
            MLP_Block(
                input_dim=self.inputs, hidden_units=list(case.hidden), hidden_activations="relu"
            )
            for _ in range(2)
        )
        self.linear = nn.ModuleList(nn.Linear(case.hidden[-1], 1) for _ in range(2))
        self.weight = nn.Parameter(
            torch.empty(case.heads, case.hidden[-1] // case.heads, case.hidden[-1] // case.heads)
        )
        nn.init.xavier_normal_(self.weight)
        self.heads = case.heads
        self.begin(case)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        fields = self.embedding_layer(self.get_inputs(inputs)).flatten(start_dim=1)
        first, second = self.first(fields), self.second(fields)
        split = [side.view(len(side), self.heads, -1) for side in (first, second)]
        product = torch.einsum("bhi,hij,bhj->b", split[0], self.weight, split[1])
        total = self.linear[0](first) + self.linear[1](second) + product[:, None]
        return {"y_pred": self.output_activation(total)}


MODELS: dict[str, type[_Model]] = {"dcnv2": DCNv2, "finalmlp": FinalMLP}


def feature_map(case: Case, folder: Path) -> FeatureMap:
    """Return what FuxiCTR knows of the columns."""
    found = FeatureMap("benchmark", str(folder))
    for name, size in zip(SIGNATURE.categorical, case.cardinalities, strict=True):
        found.features[name] = {
            "source": "", "type": "categorical", "vocab_size": int(size) + 2, "padding_idx": 0
        }  # fmt: skip
    for name in SIGNATURE.numeric:
        found.features[name] = {"source": "", "type": "numeric"}
    found.labels = [LABEL]
    found.num_fields = len(COLUMNS)
    found.default_emb_dim = case.embedding_dim
    found.set_column_index()
    return found


def without_loader(case: Case, rows: Rows, folder: Path) -> Callable[[], int]:
    """Return a function that takes the case's steps on batches that are there."""
    model = MODELS[case.model](feature_map(case, folder), case)
    batches = []
    for start in range(0, case.rows, case.batch_size):
        part = rows.take(slice(start, start + case.batch_size))
        columns = [*part.keys.T.copy(), *part.values.T.copy(), part.labels[:, 0].copy()]
        tensors = (torch.from_numpy(column).to(case.device) for column in columns)
        batches.append(OrderedDict(zip((*COLUMNS, LABEL), tensors, strict=True)))
    return _epoch(model, batches, case.rows)


def with_loader(case: Case, rows: Rows, folder: Path) -> Callable[[], int]:
    """Return a function that takes the case's steps on what FuxiCTR's loader reads of a file."""
    import pandas as pd

    columns = {name: rows.keys[:, i] for i, name in enumerate(SIGNATURE.categorical)}
    columns |= {name: rows.values[:, i] for i, name in enumerate(SIGNATURE.numeric)}
    columns[LABEL] = rows.labels[:, 0]
    pd.DataFrame(columns).to_parquet(folder / "peer.parquet")
    known = feature_map(case, folder)
    loader = ParquetDataLoader(
        known, str(folder / "peer.parquet"), batch_size=case.batch_size, shuffle=True
    )
    return _epoch(MODELS[case.model](known, case), loader, len(rows.labels))


def _epoch(model: _Model, batches: Iterable[Any], rows: int) -> Callable[[], int]:
    model._max_gradient_norm = 10.0  # what its `fit` sets by default
    model._total_steps, model._eval_steps, model._stop_training = 0, 1 << 62, False

    def run() -> int:
        model.train_epoch(batches)
        return rows

    return run
