"""Data sets that the zoo is measured on, written as files of the training layout.

Neither is kept: both are for research only, and lie beside the repository where they are at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.settings import config_of
from models.signature import Signature
from models.training.config import TrainConfig
from models.training.data import TrainingFiles

SHARED = Path(__file__).parents[3] / "shared" / "data"
SPLITS = ("train", "valid", "test")
ROW_GROUP = 16_384
Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Rows of three splits, and how models are trained on them."""

    name: str
    fields: tuple[str, ...]
    read: Callable[[Path], Frames]
    """From the folder of its files to a frame per split: integer columns `fields`, and `label`."""
    train: TrainConfig
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of models that are not their defaults."""
    published: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Test AUC and logloss of a single tuned run, by model."""

    @property
    def folder(self) -> Path:
        """Where its files are, if they are there."""
        return SHARED / self.name

    @property
    def signature(self) -> Signature:
        """What models take of it."""
        return Signature(categorical=self.fields, numeric=(), labels=("label",))

    def config(self, model: str) -> Any:
        """Return the config of a model as it is trained on this set."""
        return config_of(model, dict(self.settings.get(model, {})))

    def write(self, target: Path) -> dict[str, TrainingFiles]:
        """Write the splits below a folder and return their files."""
        frames, files = self.read(self.folder), {}
        for split in SPLITS:
            frame = frames[split]
            columns = {f"k_{f}": spread(frame[f].to_numpy(np.int64)) for f in self.fields}
            columns["y_label"] = frame["label"].to_numpy(np.float32)
            path = target / f"{split}.parquet"
            pq.write_table(pa.table(columns), path, row_group_size=ROW_GROUP)
            files[split] = TrainingFiles.of([path])
        return files


def spread(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return distinct 64-bit keys of distinct ids: an odd multiplier is a bijection."""
    return (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)


def _frappe(folder: Path) -> Frames:
    return {split: pd.read_csv(folder / f"{split}.csv.gz") for split in SPLITS}


def _movielens(folder: Path) -> Frames:
    """Ratings in the order of time, 80 / 10 / 10 %, with what is known of user and film."""

    def table(name: str) -> pd.DataFrame:
        found = pd.read_csv(folder / name, sep="\t", dtype=str)
        return found.rename(columns=lambda column: column.split(":")[0])

    rows = (
        table("ml-100k.inter.gz")
        .merge(table("ml-100k.user"), on="user_id")
        .merge(table("ml-100k.item"), on="item_id")
        .astype({"timestamp": float, "rating": float})
        .sort_values(["timestamp", "user_id", "item_id"])
    )
    rows["genre"] = rows["class"].str.split().str[0]
    rows["age"] = rows["age"].astype(int) // 5
    rows["label"] = (rows["rating"] >= 4).astype(float)
    for name in _MOVIELENS:
        rows[name] = pd.factorize(rows[name].astype(str), sort=True)[0]
    ends = [round(len(rows) * share) for share in (0.8, 0.9, 1)]
    starts = [0, *ends]
    return {
        split: rows.iloc[start:end] for split, start, end in zip(SPLITS, starts, ends, strict=False)
    }


_MOVIELENS = ("user_id", "item_id", "age", "gender", "occupation", "zip_code", "release_year",
              "class", "genre")  # fmt: skip

# What the leaderboard used: its reports tell nothing else of how it trained.
_BARS = TrainConfig(batch_size=4096, monitor="auc", device="cpu")

DATA_SETS = {
    data.name: data
    for data in (
        DataSet(
            name="frappe",
            fields=(
                "user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather",
                "country", "city",
            ),
            read=_frappe,
            train=_BARS,
            settings={"finalmlp": {"first_gate": ("user",), "second_gate": ("item",)}},
            # BARS / reczoo leaderboard of frappe_x1.
            published={
                "lr": (0.9356, 0.3076), "fm": (0.9671, 0.2065), "fwfm": (0.9776, 0.2030),
                "dnn": (0.9833, 0.1622), "ipnn": (0.9841, 0.1540), "wide_deep": (0.9841, 0.1490),
                "deepfm": (0.9842, 0.1482), "dcn": (0.9839, 0.1527), "dcnv2": (0.9845, 0.1491),
                "xdeepfm": (0.9845, 0.1466), "autoint": (0.9831, 0.1637),
                "autoint_plus": (0.9848, 0.1490), "fibinet": (0.9832, 0.1941),
                "masknet": (0.9837, 0.1696), "finalmlp": (0.9861, 0.1484),
                "finalnet": (0.9857, 0.1311),
            },
        ),
        DataSet(
            name="ml-100k",
            fields=_MOVIELENS,
            read=_movielens,
            train=TrainConfig(device="cpu", patience=3),
        ),
    )
}  # fmt: skip
