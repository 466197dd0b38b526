"""Thirty nights one by one against one backfill of thirty days, on the same machine.

    make bench SUITE=backfill JSON=backfill.json

Both start from copies of one warehouse (NIGHTSCORE_HOME) that holds a champion and the events and
tiles before the range, and nothing of the range itself. A night is a process of its own, as a
scheduler starts it; `--nights` measures fewer of them and scales up.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from tests.benchmarks.measure import machine, print_table, write_json

NIGHTSCORE = str(Path(sys.executable).with_name("nightscore"))


def nightscore(home: Path, *arguments: str) -> tuple[str, float]:
    """Return what a command printed and its wall seconds."""
    start = time.perf_counter()
    env = {**os.environ, "NIGHTSCORE_HOME": str(home)}
    done = subprocess.run([NIGHTSCORE, *arguments], check=True, stdout=subprocess.PIPE, env=env)
    return done.stdout.decode(), time.perf_counter() - start


def scores(home: Path, pipeline: str, ds: str) -> list[tuple[str, float]]:
    """Return the published scores of a day, by key."""
    printed, _ = nightscore(home, "scores", "--pipeline", pipeline, "--ds", ds, "--json")
    rows = [json.loads(line) for line in printed.splitlines()]
    known = {"score", "run_id", "model_version", "model", "model_name", "published_at"}
    return sorted(
        (json.dumps({k: v for k, v in row.items() if k not in known}, sort_keys=True), row["score"])
        for row in rows
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default="flights")
    parser.add_argument("--from", dest="first", default="2013-11-01")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--nights", type=int, default=30, help="nights measured one by one")
    parser.add_argument("--json", default=None)
    args = parser.parse_args()
    source = Path(os.environ.get("NIGHTSCORE_HOME", "warehouse"))
    days = [date.fromisoformat(args.first) + timedelta(days=i) for i in range(args.days)]
    with tempfile.TemporaryDirectory() as folder:
        one_by_one, bulk = Path(folder, "nights"), Path(folder, "bulk")
        shutil.copytree(source, one_by_one)
        shutil.copytree(source, bulk)
        pipeline = ["--pipeline", args.pipeline]
        nights = [
            nightscore(one_by_one, "run", *pipeline, "--ds", str(day), "--json")[1]
            for day in days[: args.nights]
        ]
        span = ["--from", str(days[0]), "--to", str(days[-1])]
        _, seconds = nightscore(bulk, "backfill", *pipeline, *span)
        checked = [str(days[0]), str(days[args.nights - 1])]
        same = all(
            scores(one_by_one, args.pipeline, ds) == scores(bulk, args.pipeline, ds)
            for ds in checked
        )
    all_nights = sum(nights) * args.days / len(nights)
    ratio = seconds / all_nights
    head = ("way", "days", "seconds")
    rows = [head, ("nights one by one", str(args.days), f"{all_nights:.0f}")]
    rows += [("one backfill", str(args.days), f"{seconds:.0f}"), ("ratio", "", f"{ratio:.3f}")]
    print_table(f"{args.days} days of {args.pipeline}; same scores: {same}", rows)
    result = {
        "machine": machine(),
        "days": args.days,
        "nights_measured": len(nights),
        "night_seconds": nights,
        "backfill_seconds": seconds,
        "ratio": ratio,
        "same_scores": same,
    }
    write_json(args.json, result)
    if not same:
        sys.exit("the two ways gave different scores")


if __name__ == "__main__":
    main()
