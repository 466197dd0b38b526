"""Trains the models of the zoo on a data set, and prints what they reach on its test rows.

Baselines stand beside them: base_rate, popularity, and lightgbm where it is installed.

    python -m tests.benchmarks.zoo --data frappe [--models lr,fm] [--seeds 3] [--threads 1]

What was measured is kept in tests/benchmarks/results/zoo.jsonl under a digest of code, settings and
rows: a run that is started again trains what is not there yet. `--show` trains nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from jobs.imports import code_text
from jobs.version import model_code
from models import metrics, registry
from models.training.data import TrainingFiles, read_all
from models.training.trainer import train
from tests.benchmarks import zoo_baselines
from tests.benchmarks.measure import print_table, write_json
from tests.benchmarks.zoo_baselines import BASELINES, missing
from tests.benchmarks.zoo_data import DATA_SETS, SPLITS, DataSet

RESULTS = Path(__file__).parent / "results" / "zoo.jsonl"
_SCORED_ROWS = 16_384


def key_of(data: DataSet, model: str, seed: int, rows: str) -> str:
    """Return 16 hex digits that are the same for runs that would give the same figures."""
    if model in BASELINES:
        code = code_text(Path(str(zoo_baselines.__file__)))
        return hashlib.sha256(json.dumps([rows, model, code]).encode()).hexdigest()[:16]
    spec = registry.get(model)
    made_of = {
        "rows": rows,
        "model": model,
        "code": model_code(spec.module),
        "config": asdict(data.config(model)),
        "embedding_l2": spec.embedding_l2,
        "train": asdict(replace(data.train, seed=seed)),
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]


def run(data: DataSet, model: str, seed: int, files: dict[str, TrainingFiles]) -> dict[str, Any]:
    """Train once and return the metrics on the test rows."""
    started, cpu = time.monotonic(), time.process_time()
    trained = train(
        model, data.config(model), data.signature, files["train"], files["valid"],
        replace(data.train, seed=seed),
        lambda report: print(
            f"  {model} seed {seed} epoch {report.epoch}: AUC {report.auc:.4f} "
            f"logloss {report.logloss:.4f} {report.seconds:.0f} s", flush=True,
        ),
    )  # fmt: skip
    rows = read_all(files["test"], data.signature)
    with torch.no_grad():
        logits = torch.cat([
            trained.module(torch.from_numpy(part.keys), torch.from_numpy(part.values))
            for part in (
                rows.take(slice(start, start + _SCORED_ROWS))
                for start in range(0, len(rows.labels), _SCORED_ROWS)
            )
        ])  # fmt: skip
    tested = metrics.summary(rows.labels[:, 0], torch.sigmoid(logits)[:, 0].numpy())
    return {
        "data": data.name,
        "model": model,
        "seed": seed,
        "auc": tested["auc"],
        "logloss": tested["logloss"],
        "ece": tested["ece"],
        "valid_auc": trained.metrics["auc"],
        "epochs": len(trained.history),
        "parameters": sum(p.numel() for p in trained.module.parameters()),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def run_baseline(data: DataSet, name: str, files: dict[str, TrainingFiles]) -> dict[str, Any]:
    """Make a baseline and return its metrics on the test rows."""
    started, cpu = time.monotonic(), time.process_time()
    rows = {split: read_all(files[split], data.signature) for split in SPLITS}
    tested = metrics.summary(rows["test"].labels[:, 0], BASELINES[name](rows, data.fields))
    return {
        "data": data.name,
        "model": name,
        "seed": 0,
        "auc": tested["auc"],
        "logloss": tested["logloss"],
        "ece": tested["ece"],
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def kept() -> dict[str, dict[str, Any]]:
    """Return what was measured before, by its key; the newest of a key counts."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {found["key"]: found for found in map(json.loads, lines)}


def keep(found: dict[str, Any]) -> None:
    """Add a result to those that are kept."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(found) + "\n")


def digest_of(folder: Path) -> str:
    """Return a digest of the files of a data set."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def table(data: DataSet, found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table of a data set: a line for each model, the best first."""
    head = ("model", "AUC", "spread", "logloss", "published", "seeds", "parameters", "s/epoch")
    lines = []
    for model in {result["model"] for result in found}:
        of = [result for result in found if result["model"] == model]
        aucs = [result["auc"] for result in of]
        published = data.published.get(model)
        lines.append((
            statistics.mean(aucs),
            (
                model,
                f"{statistics.mean(aucs):.4f}",
                f"{max(aucs) - min(aucs):.4f}" if len(aucs) > 1 else "-",
                f"{statistics.mean(result['logloss'] for result in of):.4f}",
                f"{published[0]:.4f} / {published[1]:.4f}" if published else "-",
                str(len(of)),
                f"{of[0]['parameters']:,}" if "parameters" in of[0] else "-",
                f"{statistics.mean(r['cpu_seconds'] / r['epochs'] for r in of):.1f}"
                if "epochs" in of[0]
                else "-",
            ),
        ))  # fmt: skip
    return [head, *(line for _, line in sorted(lines, reverse=True))]


def main() -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="frappe", choices=sorted(DATA_SETS))
    parser.add_argument("--models", default="", help="names with commas; all by default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="show what is kept, train nothing")
    parser.add_argument("--json", help="write the table's rows here too")
    arguments = parser.parse_args()
    data = DATA_SETS[arguments.data]
    if not data.folder.is_dir():
        print(f"{data.name}: no data at {data.folder}: nothing was measured")
        return 2
    models = arguments.models.split(",") if arguments.models else [*BASELINES, *registry.MODELS]
    left_out = [model for model in models if model in BASELINES and missing(model)]
    rows, before = digest_of(data.folder), kept()
    torch.set_num_threads(arguments.threads)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, TrainingFiles] = {}
        for seed in range(arguments.seeds):
            for model in models:
                key = key_of(data, model, seed, rows)
                if key not in before:
                    if arguments.show or model in left_out:
                        continue
                    files = files or data.write(Path(folder))
                    if model in BASELINES:
                        made = run_baseline(data, model, files)
                    else:
                        made = run(data, model, seed, files)
                    before[key] = {"key": key, **made}
                    keep(before[key])
                if before[key] not in found:
                    found.append(before[key])
    for name in left_out:
        print(f"{name} is not installed here: it is left out unless it was measured before")
    print_table(f"{data.name}, {len(found)} runs", table(data, found))
    write_json(arguments.json, {"benchmark": "zoo", "data": data.name, "runs": found})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
