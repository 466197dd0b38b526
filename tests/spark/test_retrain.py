"""Promises of a training that is repeated: nothing is trained twice, unless it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feature_store.errors import GateRefused
from feature_store.home import Home
from jobs.context import Context
from jobs.registry import mlflow_client, model_registry
from jobs.training import fit, recipe
from jobs.training.train import TrainResult, train
from models.errors import ConfigInvalid
from models.scoring.bundle import verify
from models.scoring.compiler import find_compiler
from models.scoring.precision import PrecisionBounds
from tests.conftest import OpenToy
from tests.toy import changed, clicky_definition, toy_days

DAYS = toy_days(8)


def run(context: Context, lines: list[str] | None = None, **options: Any) -> TrainResult:
    """Train on five days, judged on three, without the compiled package."""
    told = [] if lines is None else lines
    wanted = {"compiled": False, **options}
    return train(context, DAYS[0], DAYS[4], DAYS[7], on_progress=told.append, **wanted)


def versions(context: Context) -> list[int]:
    return [ref.version for ref in model_registry.list_models(context.home, "toy")]


def tags(context: Context, version: int) -> dict[str, str]:
    client = mlflow_client.client(context.home)
    return dict(client.get_model_version("nightscore-toy", str(version)).tags)


@pytest.mark.slow
def test_a_retry_uses_the_version_that_was_made_and_force_makes_another(open_toy: OpenToy) -> None:
    context, lines = open_toy(), []
    made = run(context)
    assert (made.model.version, made.is_reused, made.promoted) == (2, False, True)
    before = tags(context, 2)
    again = run(context, lines)
    assert (again.model, again.is_reused, again.promoted) == (made.model, True, True)
    assert not {"train", "bundle", "register"} & set(again.seconds)
    assert {"evaluate", "promote"} <= set(again.seconds)
    said = "lr version 2 was trained from the same: it is used as it is; --force trains again"
    assert said in lines
    assert tags(context, 2) == before
    assert versions(context) == [2, 1]
    forced = run(context, force=True)
    assert "train" in forced.seconds
    assert not forced.is_reused


@pytest.mark.slow
def test_a_training_that_failed_after_it_registered_goes_on_from_there(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError("the registry went away")

    context = open_toy()
    with monkeypatch.context() as patch:
        patch.setattr(model_registry, "promote", lost)
        with pytest.raises(OSError, match="went away"):
            run(context)
    retried = run(context)
    assert (retried.model.version, retried.is_reused, retried.promoted) == (2, True, True)
    assert model_registry.champion(context.home, "toy").version == 2
    assert versions(context) == [2, 1]


@pytest.mark.slow
def test_a_challenger_that_the_gate_refused_is_judged_again_and_not_trained(
    open_toy: OpenToy,
) -> None:
    definition = clicky_definition()
    strict = changed(definition, gate=replace(definition.gate, min_auc=0.99))
    for _ in range(2):
        with pytest.raises(GateRefused, match="lr version 2 was refused by the gate"):
            run(open_toy(strict))
    assert versions(open_toy()) == [2, 1]
    # Trained from the same, whatever the gate: it passes the lenient one.
    passed = run(open_toy())
    assert (passed.model.version, passed.promoted, passed.is_reused) == (2, True, True)
    with pytest.raises(GateRefused, match="lr version 2 is champion, and stays it, but does not"):
        run(open_toy(strict))


@pytest.mark.slow
def test_a_version_whose_bundle_was_changed_is_not_used(open_toy: OpenToy) -> None:
    context, lines = open_toy(), []
    made = run(context, promote=False)
    weights = Path(made.model.path, "weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    again = run(context, lines)
    assert not again.is_reused
    assert any("lr version 2 was trained from the same but cannot be used" in x for x in lines)
    verify(Path(again.model.path), again.model.digest)


@pytest.mark.slow
def test_a_model_whose_code_changed_is_trained_again(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_toy()
    made = run(context, promote=False)
    for module in (recipe, fit):
        monkeypatch.setattr(module, "model_code", lambda module: f"edited {module}")
    again = run(context, promote=False)
    assert (again.is_reused, again.model.version) == (False, made.model.version + 1)


def test_settings_reach_the_model_its_bundle_and_the_tracker(open_toy: OpenToy) -> None:
    context = open_toy()
    given = ("embedding_dim=4", "hidden=8,6", "cross_layers=1")
    result = run(context, model="dcnv2", settings=given, promote=False)
    manifest = json.loads(Path(result.model.path, "manifest.json").read_text())
    config = json.loads(manifest["config"])
    assert (config["embedding_dim"], config["hidden"], config["dropout"]) == (4, [8, 6], 0.4)
    assert manifest["data"]["recipe"]["precision"] == "f32"
    client = mlflow_client.client(context.home)
    version = client.get_model_version("nightscore-toy", str(result.model.version))
    params = client.get_run(version.run_id).data.params
    assert (params["config.embedding_dim"], params["config.hidden"]) == ("4", "(8, 6)")
    assert params["precision"] == "f32"
    assert not run(context, model="dcnv2", settings=given[:2], promote=False).is_reused


@pytest.mark.slow
@pytest.mark.skipif(find_compiler().path is None, reason="no C++ compiler: bf16 needs one")
def test_bf16_goes_through_the_guard_with_the_held_out_rows(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On 180 rows one pair that changes places is more than the bound for thousands.
    loose = PrecisionBounds(auc=0.05, logloss=0.05, rank=0.05, score=0.05, top=1, ties=1)
    monkeypatch.setattr("models.scoring.bundle.PrecisionBounds", lambda: loose)
    definition = clicky_definition()
    config = (("embedding_dim", 4), ("hidden", (16,)), ("cross_layers", 1))
    low = replace(definition.training, model="dcnv2", precision="bf16", config=config)
    result = run(open_toy(changed(definition, training=low)), promote=False, compiled=True)
    manifest = json.loads(Path(result.model.path, "manifest.json").read_text())
    assert manifest["compiled"]["precision"] == "bf16"
    assert manifest["precision"]["rows"] == 180
    assert manifest["precision"]["score"] > 0
    assert manifest["data"]["recipe"]["precision"] == "bf16"
    assert json.loads(manifest["config"])["hidden"] == [16]


def test_a_wrong_setting_is_refused_before_any_work(spark: Any, home: Home) -> None:
    context = Context.open(clicky_definition(), home, spark)
    with pytest.raises(ConfigInvalid, match="lr has none"):
        run(context, settings=["embedding_dim=4"])
    assert not Path(home.root).exists()
