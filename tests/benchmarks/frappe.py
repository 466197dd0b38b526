"""Trains a model on Frappe through the real path and prints its test AUC beside the published one.

    python -m tests.benchmarks.frappe --model finalmlp --seeds 1 [--json path] [--threads 1]

Frappe is for research only: nothing of it is kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from models import metrics
from models.signature import Signature
from models.training.config import EpochReport, TrainConfig
from models.training.data import TrainingFiles, read_all
from models.training.trainer import train
from models.zoo.finalmlp import FinalMLPConfig

DATA = Path(__file__).parents[3] / "shared" / "data" / "frappe"
FIELDS = (
    "user", "item", "daytime", "weekday", "isweekend", "homework", "cost", "weather", "country",
    "city",
)  # fmt: skip
SIGNATURE = Signature(categorical=FIELDS, numeric=(), labels=("label",))
# BARS / reczoo leaderboard of frappe_x1: test AUC, logloss (single tuned runs).
PUBLISHED = {
    "lr": (0.9356, 0.3076),
    "fm": (0.9671, 0.2065),
    "dcnv2": (0.9845, 0.1491),
    "finalmlp": (0.9861, 0.1484),
}
CONFIGS: dict[str, Any] = {
    "finalmlp": FinalMLPConfig(first_gate=("user",), second_gate=("item",)),
}
ROW_GROUP = 16_384


def convert(source: Path, target: Path) -> TrainingFiles:
    """Write one split as training Parquet; keys are the ids, spread over 64 bits."""
    frame = pd.read_csv(source)
    columns = {f"k_{field}": spread(frame[field].to_numpy(np.int64)) for field in FIELDS}
    columns["y_label"] = frame["label"].to_numpy(np.float32)
    pq.write_table(pa.table(columns), target, row_group_size=ROW_GROUP)
    return TrainingFiles.of([target])


def spread(ids: np.ndarray) -> np.ndarray:
    """Return distinct 64-bit keys of distinct ids (an odd multiplier is a bijection)."""
    return (ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)


def run(model: str, seed: int, folder: Path, *, verbose: bool = False) -> dict[str, Any]:
    """Train once and return the test metrics."""
    splits = {
        split: convert(DATA / f"{split}.csv.gz", folder / f"{split}.parquet")
        for split in ("train", "valid", "test")
    }

    def show(report: EpochReport) -> None:
        if verbose:
            print(f"  epoch {report.epoch:3d} loss {report.train_loss:.4f} auc {report.auc:.4f}"
                  f" logloss {report.logloss:.4f} lr {report.learning_rate:g}"
                  f" {report.seconds:.1f} s", flush=True)  # fmt: skip

    started = time.monotonic()
    trained = train(
        model, CONFIGS.get(model), SIGNATURE, splits["train"], splits["valid"],
        TrainConfig(seed=seed, device="cpu", batch_size=4096, monitor="auc"), show,
    )  # fmt: skip
    rows = read_all(splits["test"], SIGNATURE)
    with torch.no_grad():
        logits = trained.module(torch.from_numpy(rows.keys), torch.from_numpy(rows.values))
    tested = metrics.summary(rows.labels[:, 0], torch.sigmoid(logits)[:, 0].numpy())
    return {
        "model": model,
        "seed": seed,
        "epochs": len(trained.history),
        "seconds": round(time.monotonic() - started, 1),
        "valid_auc": trained.metrics["auc"],
        "parameters": sum(p.numel() for p in trained.module.parameters()),
        **{
            f"test_{name}": tested[name]
            for name in ("auc", "auc_low", "auc_high", "logloss", "ece")
        },
    }


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="finalmlp", choices=sorted(PUBLISHED))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        print(f"frappe: no data at {DATA}; see shared/data/README.md")
        return 2
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        results = [
            run(arguments.model, seed, Path(folder), verbose=arguments.verbose)
            for seed in range(arguments.seeds)
        ]
    auc, logloss = PUBLISHED[arguments.model]
    for result in results:
        print(f"frappe {result['model']} seed {result['seed']}: test AUC {result['test_auc']:.4f}"
              f" (published {auc:.4f}) logloss {result['test_logloss']:.4f}"
              f" (published {logloss:.4f}) epochs {result['epochs']}"
              f" seconds {result['seconds']}")  # fmt: skip
    if arguments.json:
        report = {"benchmark": "frappe", "published": {"auc": auc, "logloss": logloss}}
        arguments.json.write_text(json.dumps({**report, "runs": results}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
