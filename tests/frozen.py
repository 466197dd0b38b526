"""A frozen set without Spark, and its recipe: what `freeze` would have left for a fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from jobs.version import model_code
from models import registry
from models.fit.frozen import pinned_file
from models.fit.recipe import FitRecipe, FrozenSplit
from models.settings import config_of
from models.signature import Signature
from models.training.config import TrainConfig

SIGNATURE = Signature(categorical=("user", "item"), numeric=("price",), labels=("click",))
ROWS = {"train": 2400, "valid": 600, "eval": 600}
SMALL = {"embedding_dim": 4, "hidden": (8,), "cross_layers": 1, "dropout": 0.1}
DAYS = {
    "train": [["2026-01-01", "2026-01-04"]],
    "valid": [["2026-01-05", "2026-01-05"]],
    "eval": [["2026-01-06", "2026-01-08"]],
}


def write_set(folder: Path, files: int = 2) -> None:
    """Write the files of a frozen set, as Delta names them."""
    rng = np.random.default_rng(5)
    known = rng.integers(-(2**63), 2**63 - 1, (2, 12), dtype=np.int64)
    for split, rows in ROWS.items():
        place = folder / f"split={split}"
        place.mkdir(parents=True)
        for number in range(files):
            count = rows // files
            user, item = rng.integers(0, 12, (2, count))
            price = rng.normal(50, 10, count).astype(np.float32)
            odds = 1 / (1 + np.exp(-(2.0 * ((user + item) % 2) - 1 + (price - 50) / 20)))
            columns = {
                "k_user": known[0][user],
                "k_item": known[1][item],
                "v_price": price,
                "y_click": (rng.random(count) < odds).astype(np.float32),
            }
            path = place / f"part-{number:05d}.parquet"
            pq.write_table(pa.table(columns), path, row_group_size=300)


def make_recipe(folder: Path, model: str = "dcnv2", **changes: Any) -> FitRecipe:
    """Return the recipe of a small model on the set in a folder."""
    settings = SMALL if model == "dcnv2" else {}
    config = dataclasses.asdict(config_of(model, settings))
    train = TrainConfig(epochs=3, batch_size=200, learning_rate=0.01, device="cpu", patience=9)
    module = registry.get(model).module
    splits = {}
    for split in ROWS:
        paths = sorted((folder / f"split={split}").iterdir())
        labels = np.concatenate([pq.read_table(p, partitioning=None)["y_click"] for p in paths])
        splits[split] = FrozenSplit(
            files=tuple(pinned_file(str(folder), str(path)) for path in paths),
            labels={"click": (len(labels), int(labels.sum()))},
        )
    made = FitRecipe(
        key="0123456789abcdef",
        pipeline="toy",
        reference=model,
        model=model,
        module=module,
        code=model_code(module),
        torch=torch.__version__,
        config=config,
        train=dataclasses.asdict(train),
        precision="f32",
        compiled=False,
        signature=SIGNATURE,
        encoding="e" * 16,
        location=str(folder),
        splits=splits,
        data={"training_set": "f" * 16, "days": DAYS, "encoding": "e" * 16},
    )
    return dataclasses.replace(made, **changes)
