"""Command `train`: from a range of days to a registered, judged and perhaps promoted model."""

from __future__ import annotations

from feature_store import definitions
from feature_store.home import Home
from jobs.cli.command import Command
from jobs.cli.model_options import EvalTo, Promote, Settings, SomePrecision, ZooModel
from jobs.cli.options import First, Force, Json, Last, Pipeline
from jobs.cli.output import json_text
from jobs.cli.progress import Progress
from jobs.cli.session import open_context, training_range, who
from jobs.cli.verdicts import as_dict, print_text


def train(
    pipeline: Pipeline,
    first: First,
    last: Last,
    eval_to: EvalTo,
    model: ZooModel = "",
    settings: Settings = None,
    precision: SomePrecision = None,
    promote: Promote = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a model, judge it on later days, promote what passes: freeze, fit and judge in a row.

    The rows are frozen first and pinned in the model. A model that the gate refuses is registered
    as challenger, and the command exits with 1. A model that was made of the same rows in the same
    way is judged again and not trained again, unless there is --force.
    """
    definition = definitions.load(pipeline)
    start, end, until = training_range(definition, first, last, eval_to)
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
        told = {"training_set": result.training_set.id, "seconds": result.seconds}
        print(json_text({**as_dict(pipeline, result), **told}))
    else:
        print_text(pipeline, result, definition.gate.rank_within)


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
