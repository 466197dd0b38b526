"""Command `train`: from a range of days to a registered, judged and perhaps promoted model."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_store import definitions
from feature_store.home import Home
from jobs.cli.command import Command
from jobs.cli.options import First, Force, Json, Last, Pipeline
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, who
from jobs.config import check_day, parse_ds
from models import registry

if TYPE_CHECKING:
    from jobs.training.evaluate import Evaluation
    from jobs.training.train import TrainResult
    from models.ranking import Ranking


class Precision(StrEnum):
    """What a model's linear layers score in."""

    f32 = "f32"
    bf16 = "bf16"


def train(
    pipeline: Pipeline,
    first: First,
    last: Last,
    eval_to: Annotated[
        str, typer.Option("--eval-to", help="Last day to judge it on; the first is after --to.")
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            help=f"One of {', '.join(registry.names())}, or one of your own as path.py:NAME; the "
            "definition's by default.",
        ),
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of the model, such as hidden=400,400; may be repeated.",
        ),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option("--precision", help="What it scores in; the definition's by default."),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Make it champion if the gate lets it.")
    ] = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a model, judge it on later days, promote what passes.

    The rows are frozen first and pinned in the model. A model that the gate refuses is registered
    as challenger, and the command exits with 1. A model that was made of the same rows in the same
    way is judged again and not trained again, unless there is --force.
    """
    definition = definitions.load(pipeline)
    start = check_day(definition, parse_ds(first, "--from"), "--from")
    end = check_day(definition, parse_ds(last, "--to"), "--to")
    until = check_day(definition, parse_ds(eval_to, "--eval-to"), "--eval-to")
    with Progress() as progress:
        with progress.step("load torch"):
            from jobs.training.recipe import recipe_of
            from jobs.training.train import train as run_training

            name, given = model or None, tuple(settings or ())
            # Refuse before Spark starts what cannot be trained.
            recipe_of(definition, model=name, settings=given, precision=precision)
        with progress.step("open registry"):
            from jobs.registry import model_registry

            model_registry.require_writable(Home.from_env(), pipeline)
        with open_context(definition, progress, "train") as context:
            progress.expect("train")
            result = run_training(
                context, start, end, until,
                model=name, settings=given, precision=precision, force=force, promote=promote,
                on_progress=progress.note, who=who(),
            )  # fmt: skip
    if as_json:
        print(json_text(_as_dict(pipeline, result)))
    else:
        _print_text(pipeline, result, definition.gate.rank_within)


def _as_dict(pipeline: str, result: TrainResult) -> dict[str, Any]:
    return {
        "pipeline": pipeline,
        "model": result.model.model,
        "version": result.model.version,
        "digest": result.model.digest,
        "promoted": result.promoted,
        "reused": result.is_reused,
        "passed": result.decision.passed,
        "reasons": list(result.decision.reasons),
        "notes": list(result.decision.notes),
        **_evaluated(result),
        "training_set": result.training_set.id,
        "seconds": result.seconds,
    }


def _evaluated(result: TrainResult) -> dict[str, Any]:
    """Return what was measured; of several labels, of each by its name."""
    champion = result.champion or {}
    each = {
        name: {
            "metrics": _metrics(found),
            "segments": [asdict(s) for s in found.segments if not math.isnan(s.auc)],
            "champion_metrics": _metrics(champion[name]) if name in champion else None,
        }
        for name, found in result.evaluations.items()
    }
    return {"labels": each} if len(each) > 1 else next(iter(each.values()))


def _metrics(evaluation: Evaluation) -> dict[str, float | None]:
    found = evaluation.metrics()
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def _print_text(pipeline: str, result: TrainResult, entity: str = "") -> None:
    print_line(f"{pipeline}: {result.model.title}: {_fate(result)}")
    for name, found in result.evaluations.items():
        label = "" if len(result.evaluations) == 1 else f"{name}: "
        print_line(
            f"{label}AUC {found.auc}, logloss {found.logloss:.4f} (base rate alone "
            f"{found.baseline_logloss:.4f}), ECE {found.ece:.4f} on {found.rows:,} later rows"
        )
        if found.ranking is not None:
            print_line(f"{label}{_ranking_text(entity, found.ranking)}")
    for sentence in (*result.decision.reasons, *result.decision.notes):
        print_line(f"- {sentence}")


def _ranking_text(entity: str, found: Ranking) -> str:
    return (
        f"Within {entity}: AUC {found.auc:.4f}, NDCG@{found.k} {found.ndcg:.4f}, recall@{found.k} "
        f"{found.recall:.4f}, of {found.entities:,} with a positive row"
    )


def _fate(result: TrainResult) -> str:
    aliases = " and ".join(result.model.aliases) or "a version"
    verdict = "passed the gate" if result.decision.passed else "did not pass the gate"
    if result.is_reused:
        return f"{verdict}; made before, and now {aliases}"
    return "promoted to champion" if result.promoted else f"{verdict}; registered as {aliases}"


COMMANDS = (
    Command(
        "train",
        train,
        (
            "nightscore train --pipeline flights --from 2013-01-01 --to 2013-09-30 \\",
            "    --eval-to 2013-12-31",
            "nightscore train --pipeline flights --from 2013-01-01 --to 2013-09-30 \\",
            "    --eval-to 2013-12-31 --model dcnv2 --no-promote --json",
            "nightscore train --pipeline flights --from 2013-01-01 --to 2013-09-30 \\",
            "    --eval-to 2013-12-31 --set embedding_dim=16 --set first_hidden=400,400",
            "nightscore train --pipeline flights --from 2013-01-01 --to 2013-09-30 \\",
            "    --eval-to 2013-12-31 --model my_model.py:MY_MODEL",
        ),
    ),
)
