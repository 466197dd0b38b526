"""Promises of the steps of a training: frozen by Spark, and then each alone finds the others."""

from __future__ import annotations

from pathlib import Path

from jobs.context import Context
from jobs.night.stopwatch import Stopwatch
from jobs.registry import model_registry
from jobs.registry.trainings import open_training
from jobs.training.fit import fit_here, plan
from jobs.training.freezing import Frozen, TrainRequest, freeze_training
from jobs.training.judge import Judge
from jobs.training.train import train
from models.fit.run import FitOptions
from tests.conftest import OpenToy
from tests.toy import toy_days

DAYS = toy_days(8)


def freeze(context: Context) -> Frozen:
    request = TrainRequest(first=DAYS[0], last=DAYS[4], eval_to=DAYS[7], compiled=False)
    return freeze_training(context, request, lambda _: None, Stopwatch(lambda *_: None))


def test_what_spark_froze_is_fitted_and_judged_by_what_lies_on_disk(open_toy: OpenToy) -> None:
    context = open_toy()
    home, frozen = context.home, freeze(context)
    recipe = frozen.training.recipe
    found = open_training(home, "toy", recipe.key)
    assert found.recipe.to_text() == recipe.to_text()
    assert {name: split.rows for name, split in found.recipe.splits.items()} == {
        name: split.rows for name, split in frozen.training_set.splits.items()
    }
    for split in found.recipe.splits.values():
        assert all(Path(recipe.location, file.path).is_file() for file in split.files)
    assert plan(found.recipe, found.folder, FitOptions(), lambda _: None)["does"] == "fit"
    fit_here(found.recipe, found.folder, FitOptions(), lambda _: None)
    judge = Judge(home=home, definition=context.definition, on_progress=lambda _: None)
    verdict = judge.judge(found)
    assert model_registry.champion(home, "toy") == verdict.model
    # All in a row finds what the steps left, and the steps find it again.
    row = train(context, DAYS[0], DAYS[4], DAYS[7], on_progress=lambda _: None, compiled=False)
    assert (row.is_reused, row.model) == (True, verdict.model)
    again = freeze(context)
    assert again.training_set.is_reused
    assert again.training.recipe.to_text() == recipe.to_text()
    assert fit_here(found.recipe, found.folder, FitOptions(), lambda _: None).is_reused
