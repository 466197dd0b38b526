"""Print what is found of the corpus of faults, and how often a clean night raises an alarm.

    python -m tests.quality [--tries N] [--clean N]

Exits with 1 if less than 95 % of the faults is found, or more than 1 clean night in 100 is blamed.
"""

from __future__ import annotations

import argparse
import sys

from tests.quality.corpus import Alarms, Tally, alarms, tally
from tests.quality.faults import FAULTS

ROWS = (300, 900, 5000)
GOAL, MOST_ALARMS = 0.95, 0.01


def main(arguments: list[str] | None = None) -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="nights of each fault and size")
    parser.add_argument("--clean", type=int, default=300, help="clean nights of each size")
    asked = parser.parse_args(arguments)
    found = {(f.name, n): tally(f, n, asked.tries) for f in FAULTS for n in ROWS}
    blamed = [alarms(rows, asked.clean) for rows in ROWS]
    for line in _table(found, blamed):
        print(line)
    share = sum(one.found for one in found.values()) / len(found)
    worst = max((one.that_night + one.with_labels) / (2 * one.nights) for one in blamed)
    print(f"\nfound {share:.1%} of all (goal {GOAL:.0%}); clean verdicts that blame: {worst:.2%}")
    return int(share < GOAL or worst > MOST_ALARMS)


def _table(found: dict[tuple[str, int], Tally], blamed: list[Alarms]) -> list[str]:
    sizes = " | ".join(f"{rows:,} rows" for rows in ROWS)
    lines = [f"| fault: found that night, with its labels, missed | {sizes} |"]
    lines.append("|---" * (len(ROWS) + 1) + "|")
    for fault in FAULTS:
        cells = [_cell(found[fault.name, rows]) for rows in ROWS]
        lines.append(f"| {fault.name} | {' | '.join(cells)} |")
    cells = [f"{one.that_night}, {one.with_labels} of {one.nights}" for one in blamed]
    return [*lines, f"| **clean nights blamed**, then and with labels | {' | '.join(cells)} |"]


def _cell(one: Tally) -> str:
    return ", ".join(str(one.when[w]) for w in ("that night", "with its labels", "missed"))


if __name__ == "__main__":
    sys.exit(main())
