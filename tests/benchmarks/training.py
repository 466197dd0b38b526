"""How many rows a second are trained on, beside FuxiCTR's trainer on the same rows and models.

    make bench SUITE=training JSON=training.json
    python -m tests.benchmarks.training --models dcnv2 --rounds 3

Rows like Criteo's (26 categorical fields of up to a million values, 13 numeric), DCNv2 of 3 cross
layers and 400-400-400, FinalMLP of twice 400-400-400; embedding_dim 16, Adam, gradients cut at 10,
no dropout. In turn in one run: batches that are there, rows shuffled in memory, a frozen set read
by Petastorm at every pass, and the same for FuxiCTR. It takes the GPU where there is one.

With torch, numpy and safetensors alone (a GPU machine without the rest) what reads files, and
FuxiCTR, are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from models.training.usage import memory_mib
from tests.benchmarks import training_ours as ours
from tests.benchmarks.measure import interleaved, machine, medians, print_table, write_json
from tests.benchmarks.training_case import Case
from tests.benchmarks.training_rows import MOST_VALUES, draw

MODELS = ("dcnv2", "finalmlp")
CPU_BATCH, GPU_BATCH = 8_192, 65_536
PEER = "FuxiCTR"


def parse() -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--batch-size", type=int, help=f"{CPU_BATCH} on the CPU, {GPU_BATCH} on a GPU")
    add("--steps", type=int, default=6, help="of a round")
    add("--rounds", type=int, default=5)
    add("--most-values", type=int, default=MOST_VALUES, help="of the largest field")
    add("--json", default=None)
    return parser.parse_args()


def contenders(case: Case, folder: Path) -> dict[str, Callable[[], int]]:
    """Return everything that can be measured here, by name."""
    rows, known = draw(case.rows, 0, case.most_values), ours.vocabulary(case)
    found = {
        "nightscore, batches there": ours.without_loader(case, rows, known),
        "nightscore, shuffled in memory": ours.from_memory(case, rows, known),
    }
    if _has("petastorm"):
        found["nightscore, frozen set streamed"] = ours.from_files(case, rows, known, folder)
    found["nightscore, batches there, bf16"] = ours.without_loader(
        case, rows, known, training_precision="bf16"
    )
    found["nightscore, batches there, dense gradients"] = ours.without_loader(
        case, rows, known, sparse_gradients=False
    )
    if _has("fuxictr"):
        from tests.benchmarks import training_peer as peer

        found[f"{PEER}, batches there"] = peer.without_loader(case, rows, folder)
        found[f"{PEER}, its loader"] = peer.with_loader(case, rows, folder)
    return found


def _has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _synchronised(run: Callable[[], int], device: torch.device) -> Callable[[], int]:
    """Return the same for a GPU, waited for."""
    if device.type != "cuda":
        return run

    def waited() -> int:
        rows = run()
        torch.cuda.synchronize(device)
        return rows

    return waited


def main() -> None:
    """Measure and print."""
    args, before = parse(), machine()
    name = args.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    batch_size = args.batch_size or (GPU_BATCH if device.type == "cuda" else CPU_BATCH)
    results = {}
    for model in args.models:
        case = Case(
            model=model, device=device, batch_size=batch_size, steps=args.steps,
            most_values=args.most_values,
        )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="nightscore-bench-") as folder:
            runs = contenders(case, Path(folder))
            print(f"{model}: {case.rows:,} rows a round, on {card}", flush=True)
            waited = {name: _synchronised(run, device) for name, run in runs.items()}
            found = interleaved(waited, args.rounds)
        report(case, found, card)
        results[model] = found
    write_json(
        args.json,
        {
            "machine": {**before, "device": card},
            "batch_size": batch_size,
            "rows_per_second": results,
        },
    )


def report(case: Case, found: dict[str, list[float]], card: str) -> None:
    """Print the table of a model."""
    middle = medians(found)
    peer = middle.get(f"{PEER}, batches there")
    table = [("way", "rows/s", f"of {PEER}", "spread")]
    for name, rate in middle.items():
        ratio = f"{rate / peer:.2f}" if peer else "-"
        table.append(
            (name, f"{rate:,.0f}", ratio, f"{min(found[name]):,.0f}-{max(found[name]):,.0f}")
        )
    title = (
        f"{case.model}, batches of {case.batch_size:,}, {card}, {memory_mib(case.device):,.0f} MiB"
    )
    print_table(title, table)


if __name__ == "__main__":
    main()
