"""The features of a case by nightscore's own steps, in a process and a home of their own.

    python -m tests.benchmarks.features_ours REQUEST.json

The request is that of `features_duckdb`, with what else is wanted: to deliver the files first, to
profile, to score, to compare. The last line printed is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.home import Home
from tests.benchmarks.features_case import SPLITS, TABLES, Case

if TYPE_CHECKING:
    from jobs.context import Context
    from tests.benchmarks.spark_profile import Profile


class Steps:
    """Seconds of each step, and of its parts where there is a profile."""

    def __init__(self, profile: Profile | None) -> None:
        self.profile = profile
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block as one step."""
        start = time.perf_counter()
        yield
        self.steps[name] = {"seconds": time.perf_counter() - start}

    def part(self, name: str) -> Any:
        """Return a context that measures a part of a step, if anybody wants to know."""
        return nullcontext() if self.profile is None else self.profile.part(name)


def run_steps(context: Context, case: Case, steps: Steps) -> tuple[dict[str, int], str]:
    """Do what a training does until its set is frozen; return the rows of each step and its id."""
    from feature_store.schema import EVENTS, FEATURES, stream_table
    from jobs.night.build_features import build_day_features
    from jobs.night.build_tiles import build_day_tiles
    from jobs.night.ingest import ingest_events, ingest_looked_up
    from jobs.night.reach import days_to_ingest, paced
    from jobs.training.training_set import freeze

    definition, scored = context.definition, case.scored
    needed = {
        stream.name: {*days_to_ingest(context, stream, scored)} for stream in definition.all_streams
    }
    for outcome in definition.outcomes:
        for ds in scored:
            needed[outcome.stream.name] |= {*definition.outcome_days(outcome, ds)}
    with steps.step("ingest"):
        for stream in definition.all_streams:
            with steps.part(f"ingest {stream.name}"):
                for days in paced(sorted(needed[stream.name])):
                    _require(ingest_events(context, stream, days))
        for stream in (s for s in definition.streams if definition.lookups_in(s)):
            with steps.part(f"ingest {stream.name}"):
                for days in paced(scored):
                    _require(ingest_looked_up(context, stream, days))
    events = [stream_table(stream.name, EVENTS) for stream in definition.all_streams]
    with steps.step("tiles"):
        for stream in (s for s in definition.all_streams if needed[s.name]):
            table = stream_table(stream.name, EVENTS)
            of_day = {day: c.rows for (_, day, _), c in context.warehouse.commits(table).items()}
            with steps.part(f"tiles {stream.name}"):
                for days in paced(sorted(needed[stream.name]), of_day):
                    build_day_tiles(context, stream, days)
    with steps.step("features"), steps.part("features"):
        for days in paced(scored):
            build_day_features(context, days)
    train, valid, later = (case.splits[split] for split in SPLITS)
    with steps.step("training_set"), steps.part("training set"):
        frozen = freeze(context, [train, valid], [later])
    commits = {table: context.warehouse.commits(table).values() for table in (*events, FEATURES)}
    rows = {
        "events": sum(commit.rows for table in events for commit in commits[table]),
        "features": sum(commit.rows for commit in commits[FEATURES]),
        "training_set": frozen.rows,
    }
    return rows, frozen.id


def _require(found: Any) -> None:
    for _, error in sorted(found.errors.items()):
        raise error


def deliver(case: Case, folder: Path) -> dict[str, Any]:
    """Write the delivered files of a case and return the generator's seconds and the rows."""
    from pyspark.sql import functions as F

    from jobs.machine.spark import spark_session

    with spark_session("nightscore bench features: deliver") as spark:
        start = time.perf_counter()
        case.deliver(spark, folder)
        seconds = time.perf_counter() - start
        rows = {
            table: spark.read.parquet(str(folder / table)).select(F.count("*")).collect()[0][0]
            for table in TABLES[case.pipeline]
        }
    return {"seconds": seconds, "rows": rows}


def run(case: Case, request: dict[str, Any]) -> dict[str, Any]:
    """Do all steps in the folder of the request and return what they took."""
    from jobs.context import Context
    from jobs.machine.spark import spark_session
    from tests.benchmarks.spark_profile import Profile

    folder, start = Path(request["folder"]), time.perf_counter()
    # Digests of the files are made anew by every run, as on the night of their delivery.
    os.environ["NIGHTSCORE_SOURCE_CACHE"] = str(folder / "source-cache")
    with spark_session("nightscore bench features") as spark:
        definition = case.definition(Path(request["delivered"]))
        context = Context.open(definition, Home.of(folder / "home"), spark)
        started = time.perf_counter() - start
        steps = Steps(Profile(spark) if request["is_profiled"] else None)
        rows, training_set = run_steps(context, case, steps)
        result = {"steps": steps.steps, "rows": rows, "start_seconds": started}
        if steps.profile:
            result["profile"] = steps.profile.parts
        if request["is_scored"]:
            result["score"] = _score(context, case, folder, rows["features"])
        if request["compared_with"]:
            from tests.benchmarks.features_compare import compare

            result["differences"] = compare(context, training_set, Path(request["compared_with"]))
    return result


def _score(context: Context, case: Case, folder: Path, rows: int) -> dict[str, float]:
    """Return the seconds of scoring the rows of features into Delta, Python workers warm."""
    from tests.benchmarks.scoring import TRAIN_ROWS, Stage, ours, train_model

    model = train_model(context, folder, min(TRAIN_ROWS, rows))
    stages = [Stage(context, model, rows, day) for day in case.scored]
    ours(stages[0])()
    start = time.perf_counter()
    scored = sum(ours(stage)() for stage in stages)
    return {"seconds": time.perf_counter() - start, "rows": scored}


def main() -> None:
    """Do what the request says."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    case = Case(**request["case"])
    if request["is_delivery"]:
        print(json.dumps(deliver(case, Path(request["delivered"]))))
    else:
        print(json.dumps(run(case, request)))


if __name__ == "__main__":
    main()
