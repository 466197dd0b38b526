"""One night's seconds by stage, in a process of its own, as a scheduler would start it.

    make bench SUITE=night JSON=night.json

The warehouse must hold a champion (`make demo` leaves one). The night is run with --force, so
that every step works; then once more without, which must find everything done.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measure import machine, print_table, write_json

COMMAND = [str(Path(sys.executable).with_name("nightscore")), "run", "--json"]


def run_night(pipeline: str, ds: str, *options: str) -> tuple[dict[str, Any], float]:
    """Return what `nightscore run` printed and the wall seconds of its process."""
    start = time.perf_counter()
    done = subprocess.run(
        [*COMMAND, "--pipeline", pipeline, "--ds", ds, *options],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    return json.loads(done.stdout), time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", default="flights")
    parser.add_argument("--ds", default="2013-12-10")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", default=None)
    args = parser.parse_args()
    run_night(args.pipeline, args.ds)
    forced = [run_night(args.pipeline, args.ds, "--force") for _ in range(args.repeats)]
    idle = [run_night(args.pipeline, args.ds) for _ in range(args.repeats)]
    stages = {
        s: median(night["seconds"][s] for night, _ in forced) for s in forced[0][0]["seconds"]
    }
    wall = median(seconds for _, seconds in forced)
    stages["start, stop and report"] = wall - sum(stages.values())
    rows = [("stage", "seconds"), *((name, f"{value:.1f}") for name, value in stages.items())]
    rows += [("whole process", f"{wall:.1f}")]
    rows += [("again, nothing to do", f"{median(s for _, s in idle):.1f}")]
    print_table(f"one night of {args.pipeline} {args.ds}, {forced[0][0]['rows']} rows", rows)
    result = {
        "machine": machine(),
        "rows": forced[0][0]["rows"],
        "seconds": stages,
        "whole_process_seconds": wall,
        "nothing_to_do_seconds": median(s for _, s in idle),
    }
    write_json(args.json, result)


if __name__ == "__main__":
    main()
