"""Fixed seconds of a night, a plan, a report and maintenance after a month, a year and three years.

    make bench SUITE=history JSON=history.json

For each length a home of the pipeline `clicks` is made, with few rows a day, so that what is left
is what does not depend on rows. Its first month and its last days are made by the real commands;
the days between are copies of one real night (`tests.benchmarks.past`). Every command runs as a
process of its own, the homes in turn. What was measured is kept in `--folder`: a run that was
stopped goes on where it was, and one of other code or settings starts anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from jobs.imports import code_digest
from tests.benchmarks import past
from tests.benchmarks.measure import machine, print_table, write_json

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = "clicks"
FIRST = date(2026, 1, 1)
NIGHT = date(2026, 2, 1)
"""The night that is copied; the days before it are made in bulk, by a training."""
LAST = NIGHT + timedelta(days=8)
"""The last night that is there before anything is measured."""
REAL_DAYS = (LAST - FIRST).days + 1
PLANNED = [str(LAST - timedelta(days=6)), str(LAST)]
WHAT = ("night, nothing to do", "night, a new day", "plan of 7 days", "report", "maintain")


def nightscore(home: Path, *arguments: str) -> float:
    """Return the wall seconds of a command, which must succeed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", *arguments],
        cwd=ROOT, env={**os.environ, "NIGHTSCORE_HOME": str(home)}, text=True, check=False,
        capture_output=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{home.name}: nightscore {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - start


def build(folder: Path, days: Sequence[int]) -> None:
    """Make the homes that are not there yet."""
    start, of = folder / "start", ("--pipeline", PIPELINE)
    if not start.exists():
        draft = folder / "start.draft"
        shutil.rmtree(draft, ignore_errors=True)
        nightscore(
            draft, "train", *of, "--from", str(FIRST), "--to", str(NIGHT - timedelta(days=4)),
            "--eval-to", str(NIGHT - timedelta(days=1)), "--model", "lr", "--no-promote",
        )  # fmt: skip
        nightscore(draft, "models", "promote", "1", *of, "--why", "few rows")
        before = past.versions(draft / "tables" / PIPELINE)
        nightscore(draft, "run", *of, "--ds", str(NIGHT))
        told = {str(table.relative_to(draft)): version for table, version in before.items()}
        (draft / "before.json").write_text(json.dumps(told))
        draft.rename(start)
    for length in days:
        home = folder / f"days-{length}"
        if home.exists():
            continue
        draft = folder / f"days-{length}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(start, draft)
        _live(draft, length)
        draft.rename(home)
        print(f"made {home}", flush=True)


def _live(home: Path, length: int) -> None:
    """Give a home its past, and then its last days by the real commands."""
    of, tables = ("--pipeline", PIPELINE), home / "tables" / PIPELINE
    told: dict[str, int] = json.loads((home / "before.json").read_text())
    before = {home / table: version for table, version in told.items()}
    commits = past.commits_since(tables, before, NIGHT)
    earlier = [FIRST - timedelta(days=i) for i in range(max(0, length - REAL_DAYS), 0, -1)]
    past.extend(tables, commits, NIGHT, earlier)
    if earlier:
        past.checkpoint(tables)
    span = ("--from", str(NIGHT + timedelta(days=1)), "--to", str(LAST - timedelta(days=1)))
    nightscore(home, "backfill", *of, *span)
    nightscore(home, "run", *of, "--ds", str(LAST))
    nightscore(home, "maintain", *of)
    nightscore(home, "run", *of, "--ds", str(LAST))


def measure(folder: Path, length: int, turn: int) -> dict[str, float]:
    """Return the seconds of every command at one length; a turn has a new day of its own."""
    home, of = folder / f"days-{length}", ("--pipeline", PIPELINE)
    new = str(LAST + timedelta(days=turn + 1))
    return {
        WHAT[0]: nightscore(home, "run", *of, "--ds", str(LAST)),
        WHAT[1]: nightscore(home, "run", *of, "--ds", new),
        WHAT[2]: nightscore(home, "plan", *of, "--from", PLANNED[0], "--to", PLANNED[1]),
        WHAT[3]: nightscore(home, "report", *of, "--ds", str(LAST)),
        WHAT[4]: nightscore(home, "maintain", *of),
    }


def digest(settings: dict[str, Any]) -> str:
    """Return 16 hex digits over our code and the settings of the run."""
    packages = ("feature_store", "jobs", "models", "tests/benchmarks")
    files = sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))
    text = f"{code_digest(files, ROOT)} {json.dumps(settings, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    """Make what is missing, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, nargs="+", default=[30, 365, 1095])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(".scratch/history"))
    parser.add_argument("--json", default=None)
    args = parser.parse_args()
    os.environ.setdefault("NIGHTSCORE_CLICKS_ROWS", "200")
    rows = int(os.environ["NIGHTSCORE_CLICKS_ROWS"])
    settings = {"days": args.days, "rows_per_day": rows}
    found = digest(settings)
    folder = args.folder.resolve() / found
    folder.mkdir(parents=True, exist_ok=True)
    build(folder, args.days)
    kept = folder / "seconds.json"
    seconds: dict[str, list[dict[str, float]]] = (
        json.loads(kept.read_text()) if kept.exists() else {str(n): [] for n in args.days}
    )
    for turn in range(args.repeats):
        for length in args.days:
            if len(seconds[str(length)]) > turn:
                continue
            seconds[str(length)].append(measure(folder, length, turn))
            kept.write_text(json.dumps(seconds))
            print(f"  round {turn} {length} days: {seconds[str(length)][-1]}", flush=True)
    medians = {n: {w: median(s[w] for s in seconds[str(n)]) for w in WHAT} for n in args.days}
    shortest, longest = min(args.days), max(args.days)
    ratios = {w: medians[longest][w] / medians[shortest][w] for w in WHAT}
    head = ("what", *(f"{n} days" for n in args.days), "ratio")
    lines = [
        (w, *(f"{medians[n][w]:.1f}" for n in args.days), f"{ratios[w]:.2f}") for w in WHAT
    ]  # fmt: skip
    print_table(f"seconds of {PIPELINE}, {rows} rows a day", [head, *lines])
    result = {"machine": machine(), "digest": found, **settings, "repeats": args.repeats}
    write_json(args.json, {**result, "seconds": seconds, "medians": medians, "ratios": ratios})


if __name__ == "__main__":
    main()
