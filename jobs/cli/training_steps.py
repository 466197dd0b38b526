"""Commands `freeze`, `fit` and `judge`: the steps of a training, each where it is best done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feature_store import definitions
from feature_store.home import Home
from jobs.cli.command import Command
from jobs.cli.model_options import (
    EvalTo,
    Promote,
    Settings,
    SomePrecision,
    Training,
    ZooModel,
)
from jobs.cli.options import First, Force, Json, Last, Pipeline
from jobs.cli.output import json_text, print_line
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, training_range, who
from jobs.cli.verdicts import as_dict, evaluated, print_found, print_text

if TYPE_CHECKING:
    from jobs.registry.trainings import Training as Found


def freeze(
    pipeline: Pipeline,
    first: First,
    last: Last,
    eval_to: EvalTo,
    model: ZooModel = "",
    settings: Settings = None,
    precision: SomePrecision = None,
    name: Annotated[
        str, typer.Option("--name", help="A name by which fit and judge will find it as well.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which days would be in which split.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Freeze the rows of a training, and write the recipe that `fit` takes.

    Needs Spark. The same request finds the rows and the recipe that are there.
    """
    definition = definitions.load(pipeline)
    start, end, until = training_range(definition, first, last, eval_to)
    home = Home.from_env()
    with Progress() as progress:
        with progress.step("load torch"):
            from jobs.night.stopwatch import Stopwatch
            from jobs.registry.trainings import check_name, give_name
            from jobs.training.freezing import TrainRequest, freeze_training

        request = TrainRequest(
            first=start, last=end, eval_to=until, model=model or None,
            settings=tuple(settings or ()), precision=precision,
        )  # fmt: skip
        # Refuse before Spark starts what cannot be trained.
        recipe, days = request.recipe(definition), request.days(definition)
        if name:
            check_name(home, pipeline, name)
        if dry_run:
            runs = {split: [str(day) for day in listed] for split, listed in days.items()}
            _say({"pipeline": pipeline, "model": recipe.model, "days": runs}, as_json=as_json)
            return
        with open_context(definition, progress, "freeze") as context:
            progress.expect("freeze")
            watch = Stopwatch(lambda step, seconds: progress.note(f"{step}: {seconds:.1f} s"))
            frozen = freeze_training(context, request, progress.note, watch)
        training, rows = frozen.training, frozen.training_set
        if name:
            give_name(home, pipeline, name, training.recipe.key)
    told = {
        "pipeline": pipeline,
        "training": training.recipe.key,
        "recipe": str(training.path),
        "model": training.recipe.model,
        "training_set": rows.id,
        "rows": {split: files.rows for split, files in rows.splits.items()},
        "reused": rows.is_reused,
    }
    _say(told if as_json else {**told, "next": _next("fit", training)}, as_json=as_json)


def fit(
    pipeline: Pipeline,
    training: Training,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu or cuda; the recipe's by default.")
    ] = "",
    force: Force = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check recipe, code and files.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fit the model of a frozen training; what was fitted before is found.

    Needs no Spark and no Java. Where only the environment of a fit is, and under torchrun,
    `nightscore-fit` does the same with the path of a recipe.
    """
    home = Home.from_env()
    definitions.load(pipeline)
    with Progress() as progress:
        with progress.step("load torch"):
            from jobs.registry.trainings import open_training
            from jobs.training.fit import fit_here, plan, told
            from models.fit.run import FitOptions
            from models.training.stopping import stopping_at_sigterm

        found = open_training(home, pipeline, training)
        options = FitOptions(device=device, force=force)
        if dry_run:
            with progress.step("check files"):
                planned = plan(found.recipe, found.folder, options, progress.note)
            _say(planned, as_json=as_json)
            return
        with progress.step("fit"), stopping_at_sigterm() as stop:
            options = replace(options, stop=stop)
            done = told(found.recipe, fit_here(found.recipe, found.folder, options, progress.note))
    _say(done if as_json else {**done, "next": _next("judge", found)}, as_json=as_json)


def judge(
    pipeline: Pipeline,
    training: Training,
    promote: Promote = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what the gate says; register nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge a fitted model on later days, register it, promote what passes the gate.

    Needs no Spark. A model that the gate refuses is registered as challenger, and the command
    exits with 1. One that was registered before is judged again as it is.
    """
    definition, home = definitions.load(pipeline), Home.from_env()
    with Progress() as progress:
        with progress.step("load torch"):
            from jobs.registry import model_registry
            from jobs.registry.trainings import open_training
            from jobs.training.judge import Judge

        found = open_training(home, pipeline, training)
        judging = Judge(
            home=home, definition=definition, promote=promote, who=who(),
            on_progress=progress.note,
        )  # fmt: skip
        if dry_run:
            with progress.step("evaluate"):
                evaluations, decision = judging.look(found)
        else:
            with progress.step("open registry"):
                model_registry.require_writable(home, pipeline)
            with progress.step("judge"):
                verdict = judging.judge(found)
    entity = definition.gate.rank_within
    if not dry_run and as_json:
        print(json_text({**as_dict(pipeline, verdict), "training": found.recipe.key}))
    elif not dry_run:
        print_text(pipeline, verdict, entity)
    elif as_json:
        told = {"pipeline": pipeline, "passed": decision.passed, "reasons": list(decision.reasons),
                "notes": list(decision.notes), **evaluated(evaluations)}  # fmt: skip
        print(json_text(told))
    else:
        would = "would pass" if decision.passed else "would not pass"
        print_line(f"{pipeline}: {found.recipe.model}: {would} the gate")
        print_found(evaluations, decision, entity)


def _next(command: str, training: Found) -> str:
    recipe = training.recipe
    return f"nightscore {command} --pipeline {recipe.pipeline} --training {recipe.key}"


def _say(told: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json_text(told))
        return
    for name, value in told.items():
        print_line(f"{name}: {_text(value)}")


def _text(value: object) -> str:
    """Return a value for a person: of a list of days its ends, of a mapping each entry."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return f"{len(value)} days, {value[0]} to {value[-1]}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_RANGE = "--from 2013-01-01 --to 2013-09-30"
_KEY = "0123456789abcdef"

COMMANDS = (
    Command(
        "freeze",
        freeze,
        (
            f"nightscore freeze --pipeline flights {_RANGE} \\",
            "    --eval-to 2013-12-31",
            f"nightscore freeze --pipeline flights {_RANGE} \\",
            "    --eval-to 2013-12-31 --model dcnv2 --set embedding_dim=16 --name autumn",
            f"nightscore freeze --pipeline flights {_RANGE} \\",
            "    --eval-to 2013-12-31 --dry-run",
        ),
    ),
    Command(
        "fit",
        fit,
        (
            f"nightscore fit --pipeline flights --training {_KEY}",
            "nightscore fit --pipeline flights --training autumn --device cuda",
            "nightscore fit --pipeline flights --training autumn --dry-run",
        ),
    ),
    Command(
        "judge",
        judge,
        (
            f"nightscore judge --pipeline flights --training {_KEY}",
            "nightscore judge --pipeline flights --training autumn --no-promote --json",
            "nightscore judge --pipeline flights --training autumn --dry-run",
        ),
    ),
)
