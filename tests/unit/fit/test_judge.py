"""A bundle that was fitted elsewhere is judged, registered and promoted without Spark."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.definition import Definition, Gate, label_record
from feature_store.errors import GateRefused, NightscoreError, UsageError
from feature_store.home import Home
from jobs.finality import is_final
from jobs.registry import model_registry
from jobs.registry.mlflow_client import client
from jobs.registry.trainings import Training, give_name, open_training, training_folder
from jobs.training.fit import fit_here
from jobs.training.freezing import _write_recipe, fit_recipe
from jobs.training.judge import Judge
from jobs.training.recipe import recipe_of, signature_of
from jobs.training.training_set import LabelCounts, SplitFiles, TrainingSet
from models.errors import FrozenSetChanged, ProcessLost, RecipeInvalid, Stopped
from models.fit.run import FitOptions, read_epochs
from tests.frozen import DAYS
from tests.toy import changed, toy_definition

ROWS = {"train": 600, "valid": 200, "eval": 300}
GATE = Gate(min_auc=0.6, max_ece=0.5)


def toy(gate: Gate = GATE) -> Definition:
    definition = toy_definition(())
    quick = replace(definition.training, model="lr", config=(), epochs=3, learning_rate=0.05)
    return changed(definition, gate=gate, training=quick)


def frozen(definition: Definition, folder: Path) -> TrainingSet:
    """Write a set as the definition's would be, and return it."""
    signature, rng = signature_of(definition), np.random.default_rng(3)
    splits = {}
    for split, rows in ROWS.items():
        keys = rng.integers(1, 7, (rows, len(signature.categorical)))
        odds = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])[keys[:, 0] - 1]
        clicked = (rng.random(rows) < odds).astype(np.float32)
        columns = {f"k_{name}": keys[:, i] for i, name in enumerate(signature.categorical)}
        columns |= {f"v_{name}": np.ones(rows, np.float32) for name in signature.numeric}
        columns |= {f"y_{name}": clicked for name in signature.labels}
        columns |= {f"segment_{name}": keys[:, 0].astype(str) for name in definition.gate.segments}
        path = folder / f"split={split}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(columns), path)
        counts = LabelCounts(rows=rows, positives=int(clicked.sum()))
        labels = dict.fromkeys(signature.labels, counts)
        splits[split] = SplitFiles(files=(str(path),), rows=rows, labels=labels)
    manifest = {
        "days": DAYS, "encoding": definition.digest("encoding"), **label_record(definition.labels)
    }  # fmt: skip
    return TrainingSet(
        id="f" * 16, labels=signature.labels, splits=splits, manifest=manifest, is_reused=False
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Home.of(tmp_path / "home")


@pytest.fixture
def training(home: Home, tmp_path: Path) -> Training:
    definition = toy()
    rows = frozen(definition, tmp_path / "set")
    recipe = fit_recipe(
        definition, recipe_of(definition, compiled=False), rows, str(tmp_path / "set")
    )
    folder = training_folder(home, "toy", recipe.key)
    recipe.write(folder)
    give_name(home, "toy", "autumn", recipe.key)
    return open_training(home, "toy", "autumn")


def judge(home: Home, definition: Definition | None = None) -> Judge:
    return Judge(home=home, definition=definition or toy(), who="ann", on_progress=lambda _: None)


def fitted(training: Training) -> None:
    fit_here(training.recipe, training.folder, FitOptions(), lambda _: None)


def test_what_was_fitted_is_promoted_and_each_step_then_finds_it_done(
    home: Home, training: Training
) -> None:
    fitted(training)
    verdict = judge(home).judge(training)
    assert (verdict.promoted, verdict.is_reused) == (True, False)
    assert model_registry.champion(home, "toy") == verdict.model
    assert (verdict.model.recipe, verdict.model.training_set) == (training.recipe.key, "f" * 16)
    told = json.loads((training.folder / "verdict.json").read_text())
    assert (told["version"], told["promoted"], told["judged_by"]) == (1, True, "ann")
    assert not (training.folder / "bundle").exists()
    again = fit_here(training.recipe, training.folder, FitOptions(), lambda _: None)
    assert again.is_reused
    assert again.bundle is not None
    assert (str(again.bundle.path), again.bundle.digest) == (
        verdict.model.path,
        verdict.model.digest,
    )
    second = judge(home).judge(open_training(home, "toy", training.recipe.key))
    assert (second.model, second.is_reused, second.promoted) == (verdict.model, True, True)


def test_a_look_registers_nothing(home: Home, training: Training) -> None:
    fitted(training)
    evaluations, decision = judge(home).look(training)
    assert decision.passed
    assert evaluations["clicked"].rows == 300
    assert model_registry.list_models(home, "toy") == []
    assert (training.folder / "bundle").is_dir()


def test_a_refused_model_is_challenger_and_the_verdict_says_why(
    home: Home, training: Training
) -> None:
    fitted(training)
    with pytest.raises(GateRefused, match=r"breaks the limit min_auc=0\.99"):
        judge(home, toy(replace(GATE, min_auc=0.99))).judge(training)
    told = json.loads((training.folder / "verdict.json").read_text())
    assert (told["promoted"], told["aliases"]) == (False, ["challenger"])
    assert "min_auc=0.99" in told["reasons"][0]


def test_nothing_fitted_is_told_with_the_next_step(home: Home, training: Training) -> None:
    with pytest.raises(NightscoreError, match=r"has no bundle in .*Run: nightscore fit --pipeline"):
        judge(home).judge(training)


def test_a_definition_that_encodes_otherwise_by_now_is_refused(
    home: Home, training: Training
) -> None:
    fitted(training)
    recipe = dataclasses.replace(training.recipe, encoding="0" * 16)
    with pytest.raises(
        NightscoreError, match=r"encodes its features otherwise.*nothing was judged"
    ):
        judge(home).judge(replace(training, recipe=recipe))
    assert model_registry.list_models(home, "toy") == []


def test_the_bundle_of_another_recipe_is_not_judged(home: Home, training: Training) -> None:
    fitted(training)
    other = dataclasses.replace(
        training.recipe, data={**training.recipe.data, "training_set": "0" * 16}
    )
    with pytest.raises(RecipeInvalid, match="is the bundle of another recipe"):
        judge(home).judge(replace(training, recipe=other))


def test_a_training_that_was_never_frozen_is_told(home: Home) -> None:
    with pytest.raises(UsageError, match=r"training='spring' does not exist.*nightscore freeze"):
        open_training(home, "toy", "spring")


def test_files_that_were_pinned_stay_pinned_when_they_are_frozen_again(
    home: Home, training: Training, tmp_path: Path
) -> None:
    definition = toy()
    file = tmp_path / "set" / "split=train" / "part-0.parquet"
    file.write_bytes(file.read_bytes() + b"!")
    context: Any = SimpleNamespace(
        definition=definition,
        home=home,
        warehouse=SimpleNamespace(location=lambda table: str(tmp_path / "set")),
    )
    rows = frozen(definition, tmp_path / "other")
    again = _write_recipe(context, recipe_of(definition, compiled=False), rows)
    assert again.recipe.to_text() == training.recipe.to_text()
    with pytest.raises(FrozenSetChanged, match=r"has .* bytes, had"):
        fitted(again)


def test_what_a_repeat_gets_past_is_not_final() -> None:
    assert is_final(FrozenSetChanged("x", "is gone"))
    assert not is_final(Stopped(""))
    assert not is_final(ProcessLost(0, "reset"))
    assert not is_final(OSError("the disk is full"))


def test_the_tracker_shows_each_epoch_as_curves(home: Home, training: Training) -> None:
    fitted(training)
    told = read_epochs(training.folder)
    assert len(told) == 3
    version = judge(home).judge(training).model.version
    mlflow = client(home)
    run = mlflow.get_model_version("nightscore-toy", str(version)).run_id
    curve = {each.step: each.value for each in mlflow.get_metric_history(run, "epoch_train_loss")}
    assert curve == pytest.approx({n: report["train_loss"] for n, report in enumerate(told, 1)})
    metrics = mlflow.get_run(run).data.metrics
    assert metrics["epoch_rows_per_second"] > 0
    assert "epoch_gpu_percent" not in metrics, "there is none"
    assert metrics["epoch_is_best"] in (0, 1)


def test_an_older_training_without_them_is_judged_all_the_same(
    home: Home, training: Training
) -> None:
    fitted(training)
    (training.folder / "epochs.json").unlink()
    assert judge(home).judge(training).promoted
