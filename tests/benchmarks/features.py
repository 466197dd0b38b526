"""Seconds from delivered rows to a training set, beside hand-written SQL in DuckDB.

    make bench SUITE=features JSON=features.json

Two pipelines of the generated shop: `shop_ads` with `--rows` ads a day, `shop_reorder` with about
`--pairs` pairs a day, each with `--days` days of history (three times as many for `shop_reorder`,
whose windows are three times as long). Three days are scored, one for each split of the training
set, as far apart as labels take to be settled.

The generator writes the rows as Parquet files first, apart. From those nightscore and the SQL of
`tests/benchmarks/sql` make the same: good and bad rows, tiles, features, a training set. Each run
is a process of its own, with as many threads and as much memory, in turn. `--verify` compares the
two row by row and exits with 1 if they differ. What was measured is kept in `--folder`: a run that
was stopped goes on where it was, one of other code or settings starts anew. `--profile` and
`--score` run once more, apart: where the time goes, and DCNv2 in f32 over the same rows.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.config import setting
from tests.benchmarks.features_case import WINDOWS, Case
from tests.benchmarks.features_report import (
    print_case,
    print_profile,
    print_slopes,
    slopes,
    summary,
)
from tests.benchmarks.features_runs import OURS, THEIRS, WHO, Runs, short
from tests.benchmarks.measure import machine, write_json

QUICK = {"rows": [5_000, 20_000], "pairs": 30_000, "days": 7, "repeats": 1}
FULL = {"rows": [1_000_000, 5_000_000], "pairs": 5_000_000, "days": 28, "repeats": 3}


def verify(runs: Runs, cases: Sequence[Case]) -> list[str]:
    """Return every difference between the two contenders' tables, case by case."""
    found = []
    for case in cases:
        runs.run(THEIRS, case, is_compared=True)
        theirs = str(runs.work(THEIRS))
        result = runs.run(OURS, case, compared_with=theirs)
        differences = [f"{case.name}: {text}" for text in result["differences"]]
        told = "the same" if not differences else f"{len(differences)} differences"
        rows = ", ".join(f"{count:,} {what}" for what, count in result["rows"].items())
        print(f"{case.name}: {rows}: {told}", flush=True)
        found += differences
    runs.clean()
    return found


def measure(runs: Runs, cases: Sequence[Case], repeats: int) -> None:
    """Run the contenders in turn, a round for each repeat."""
    for turn in range(repeats):
        for case in cases:
            for who in WHO:
                runs.once(f"{case.name} {who} {turn}", lambda c=case, w=who: runs.run(w, c))
    runs.clean()


def numbers(text: str) -> list[int]:
    """Return whole numbers that stand between commas."""
    return [int(part) for part in text.split(",") if part]


def parse() -> argparse.Namespace:
    """Return the arguments, what is not given from the quick or the full sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=numbers, help="ads a day: 1000000,5000000; '' for none")
    parser.add_argument("--pairs", type=int, help="pairs a day, about: 5000000; 0 for none")
    parser.add_argument("--days", type=int, help="days of history, 1 to 28: 28")
    parser.add_argument("--repeats", type=int, help="3")
    parser.add_argument("--quick", action="store_true", help=f"small sizes: {QUICK}")
    parser.add_argument("--memory", default="4g", help="of Spark's driver, and of DuckDB")
    parser.add_argument("--verify", action="store_true", help="compare rows, and measure nothing")
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--score", action="store_true", help="score the rows with DCNv2 as well")
    parser.add_argument("--folder", type=Path, default=Path(".scratch/features"))
    parser.add_argument("--json", default=None)
    args = parser.parse_args()
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def duckdb_version() -> str:
    """Return the version of DuckDB; without it, end before anything is generated."""
    try:
        return importlib.metadata.version("duckdb")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("duckdb is not installed. Run: make bench SUITE=features, or infra/env.sh bench")


def cases_of(args: argparse.Namespace) -> list[Case]:
    """Return the cases that are asked for."""
    times = WINDOWS["shop_reorder"] // WINDOWS["shop_ads"]
    found = [Case(pipeline="shop_ads", size=rows, history=args.days) for rows in args.rows]
    if args.pairs:
        found += [Case(pipeline="shop_reorder", size=args.pairs, history=times * args.days)]
    return found


def main() -> None:
    """Deliver what is missing, verify or measure, and print."""
    args = parse()
    os.environ["NIGHTSCORE_DRIVER_MEMORY"] = args.memory
    threads = setting("NIGHTSCORE_CORES", os.cpu_count() or 2, 1, 1024)
    settings = {
        "threads": threads,
        "memory": f"{args.memory.rstrip('bB')}b",
        "duckdb": duckdb_version(),
    }
    before, cases = machine(), cases_of(args)
    runs = Runs(args.folder.resolve(), settings)
    if args.verify:
        found = verify(runs, cases)
        write_json(args.json, {"machine": before, **settings, "differences": found})
        sys.exit("\n".join(found) or 0)
    measure(runs, cases, args.repeats)
    result: dict[str, Any] = {"machine": before, **settings, "repeats": args.repeats, "cases": {}}
    for case in cases:
        result["cases"][case.name] = summary(runs, case, args.repeats)
        print_case(case, result["cases"][case.name])
    ads = [result["cases"][case.name] for case in cases if case.pipeline == "shop_ads"]
    if len(ads) > 1:
        result["slopes"] = slopes(ads[0], ads[-1])
        print_slopes(result["slopes"])
    for case in cases:
        extra = _extras(runs, case, args)
        result["cases"][case.name] |= extra
        if "profile" in extra:
            print_profile(case.name, extra["profile"])
        if "score" in extra:
            print(f"{case.name}: DCNv2, f32, scored {short(extra['score'])}")
    write_json(args.json, result)
    odd = [name for name, found in result["cases"].items() if not found["same_counts"]]
    if odd:
        sys.exit(f"the two did not make as many rows: {', '.join(odd)}")


def _extras(runs: Runs, case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """Return the profile and the scoring of a case, as far as they are asked for."""
    if not (args.profile or args.score):
        return {}
    key = f"{case.name} profile={args.profile} score={args.score}"
    found = runs.once(
        key, lambda: runs.run(OURS, case, is_profiled=args.profile, is_scored=args.score)
    )
    runs.clean()
    return {name: found[name] for name in ("profile", "score") if name in found}


if __name__ == "__main__":
    main()
