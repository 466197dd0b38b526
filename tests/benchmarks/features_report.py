"""What the benchmark `features` says of its runs: medians, ratios, slopes, and where time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.benchmarks.features_case import Case
from tests.benchmarks.features_duckdb import STEPS
from tests.benchmarks.features_runs import OURS, THEIRS, WHO, Runs
from tests.benchmarks.measure import print_table

_STAGES = 10


def summary(runs: Runs, case: Case, repeats: int) -> dict[str, Any]:
    """Return the medians of a case, ratios, and rows a second of each step."""
    _, generated = runs.delivered(case)
    every = {w: [runs.results[f"{case.name} {w} {t}"] for t in range(repeats)] for w in WHO}
    rows = {w: {**found[0]["rows"]} for w, found in every.items()}
    delivered = sum(generated["rows"].values())
    taken = {
        "ingest": delivered,
        "tiles": rows[OURS]["events"],
        "features": rows[OURS]["features"],
        "training_set": rows[OURS]["training_set"],
    }
    seconds = {
        w: {step: median(run["steps"][step]["seconds"] for run in found) for step in STEPS}
        for w, found in every.items()
    }
    for found in seconds.values():
        found["all"] = sum(found.values())
    same = all(rows[OURS][what] == rows[THEIRS][what] for what in ("features", "training_set"))
    return {
        "case": asdict(case),
        "generator": generated,
        "rows": taken,
        "same_counts": same,
        "seconds": seconds,
        "ratio": {step: seconds[OURS][step] / seconds[THEIRS][step] for step in seconds[OURS]},
        "rows_per_second": {
            w: {step: taken[step] / seconds[w][step] for step in STEPS} for w in WHO
        },
        "start_seconds": median(run["start_seconds"] for run in every[OURS]),
        "runs": {w: [run["steps"] for run in found] for w, found in every.items()},
    }


def slopes(smaller: Mapping[str, Any], larger: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return microseconds for each row more, from the smaller size to the larger, by step."""
    more = {s: larger["rows"][s] - smaller["rows"][s] for s in STEPS}
    return {
        who: {
            step: (larger["seconds"][who][step] - smaller["seconds"][who][step]) / more[step] * 1e6
            for step in STEPS
        }
        for who in WHO
    }


def print_case(case: Case, found: Mapping[str, Any]) -> None:
    """Print the table of one case."""
    lines = [("step", "rows", f"{OURS} s", f"{THEIRS} s", "ratio", *(f"{w} rows/s" for w in WHO))]
    seconds, rate = found["seconds"], found["rows_per_second"]
    for step in STEPS:
        lines.append(
            (
                step.replace("_", " "),
                f"{found['rows'][step]:,}",
                *(f"{seconds[who][step]:.1f}" for who in WHO),
                f"{found['ratio'][step]:.1f}",
                *(f"{rate[who][step]:,.0f}" for who in WHO),
            )
        )
    all_of = (f"{seconds[who]['all']:.1f}" for who in WHO)
    lines.append(("all", "", *all_of, f"{found['ratio']['all']:.1f}", "", ""))
    generator = found["generator"]["seconds"]
    print_table(
        f"{case.name}: generator {generator:.0f} s, apart; Spark's start "
        f"{found['start_seconds']:.0f} s, apart",
        lines,
    )


def print_slopes(found: Mapping[str, Mapping[str, float]]) -> None:
    """Print what each row more costs."""
    lines = [("microseconds a row more", *(step.replace("_", " ") for step in STEPS))]
    lines += [(who, *(f"{found[who][step]:.2f}" for step in STEPS)) for who in WHO]
    print_table("slope from the smaller to the larger size", lines)


def print_profile(name: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Print where the time of a run went."""
    columns = ("seconds", "java_cpu", "tasks_cpu", "python_workers_cpu", "driver_cpu", "gc")
    sizes = ("shuffled_mb", "spilled_mb")
    lines = [("part", *(column.replace("_", " ") for column in (*columns, *sizes)))]
    for part, found in parts.items():
        lines.append(
            (
                part,
                *(f"{found[column]:.1f}" for column in columns),
                *(f"{found[column]:.0f}" for column in sizes),
            )
        )
    print_table(f"{name}: where the time of nightscore goes, in seconds", lines)
    stages = [(part, stage) for part, found in parts.items() for stage in found["stages"]]
    stages.sort(key=lambda item: -item[1]["seconds"])
    head = ("longest stages", "task seconds", "of them CPU", "tasks", "operators")
    print_table(
        f"{name}: Spark's longest stages",
        [
            head,
            *(
                (part, f"{s['seconds']:.1f}", f"{s['cpu']:.1f}", str(s["tasks"]), s["what"])
                for part, s in stages[:_STAGES]
            ),
        ],
    )
