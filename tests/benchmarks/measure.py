"""What the benchmarks share: interleaved repeats, medians, a table, JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def interleaved(
    contenders: Mapping[str, Callable[[], int]], repeats: int, warm_ups: int = 1
) -> dict[str, list[float]]:
    """Return rows per second of every repeat of each contender, run in turn on a shared machine.

    Args:
        contenders: name -> function that scores all rows and returns how many.
        repeats: measured rounds.
        warm_ups: rounds before, not measured.
    """
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(warm_ups + repeats):
        for name, run in contenders.items():
            start = time.perf_counter()
            rows = run()
            seconds = time.perf_counter() - start
            if turn >= warm_ups:
                found[name].append(rows / seconds)
            print(f"  round {turn} {name}: {rows / seconds:,.0f} rows/s", flush=True)
    return found


def medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    """Return the median of each contender."""
    return {name: statistics.median(values) for name, values in found.items()}


def machine() -> dict[str, Any]:
    """Return what the figures were measured on; no host names."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def write_json(path: str | None, result: Mapping[str, Any]) -> None:
    """Write the result where `--json` says, if it says."""
    if path:
        Path(path).write_text(json.dumps(result, indent=1), encoding="utf-8")
        print(f"wrote {path}")


def print_table(title: str, rows: list[tuple[str, ...]]) -> None:
    """Print rows of text, the first being the head, in columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)))
