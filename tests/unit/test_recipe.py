"""Promises of a training request: everything that can be wrong with it is found before any work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feature_store import definitions
from feature_store.definition import Definition
from feature_store.errors import UsageError
from jobs.cli import app as cli
from jobs.training import recipe
from jobs.training.recipe import model_config, recipe_of, train_config
from models import registry
from models.errors import ConfigInvalid
from models.scoring.compiler import Compiler
from models.zoo.dcnv2 import DCNv2Config
from models.zoo.finalmlp import FinalMLPConfig
from tests.toy import changed, toy_definition

SMALL = (("embedding_dim", 4), ("hidden", (8, 8)))


@pytest.fixture
def toy() -> Definition:
    definition = toy_definition(())
    return changed(definition, training=replace(definition.training, model="dcnv2", config=SMALL))


def test_the_definitions_settings_reach_its_model_and_no_other(toy: Definition) -> None:
    assert recipe_of(toy).config == DCNv2Config(embedding_dim=4, hidden=(8, 8))
    assert recipe_of(toy, model="finalmlp").config == FinalMLPConfig()


def test_what_is_asked_for_goes_over_the_definitions_settings(toy: Definition) -> None:
    config = model_config(toy, "dcnv2", ["embedding_dim=16"], is_own=True)
    assert config == DCNv2Config(embedding_dim=16, hidden=(8, 8))
    assert model_config(toy, "fm", ["embedding_dim=3"], is_own=False).embedding_dim == 3


def test_another_model_than_the_definitions_takes_its_own_regularisation(toy: Definition) -> None:
    weighted = changed(toy, training=replace(toy.training, embedding_l2=0.3))
    assert train_config(weighted, is_own=True).embedding_l2 == 0.3
    assert train_config(weighted, is_own=False).embedding_l2 is None


@pytest.mark.parametrize("name", definitions.names())
def test_every_shipped_definition_can_be_trained(name: str) -> None:
    definition = definitions.load(name)
    assert recipe_of(definition).model == definition.training.model


@pytest.mark.parametrize(
    ("training", "message"),
    [
        (
            {"config": (("colour", 1),)},
            "colour=1: is no setting of dcnv2; there are: embedding_dim",
        ),
        ({"config": (("hidden", 400),)}, "hidden=400: must be whole numbers"),
    ],
)
def test_a_definitions_wrong_setting_is_refused(
    toy: Definition, training: dict[str, object], message: str
) -> None:
    wrong = changed(toy, training=replace(toy.training, **training))  # type: ignore[arg-type]
    with pytest.raises(ConfigInvalid, match=message):
        recipe_of(wrong)


def test_a_gate_over_a_feature_that_is_not_there_is_refused(toy: Definition) -> None:
    with pytest.raises(ConfigInvalid, match="second_gate='buyer': is no field"):
        recipe_of(toy, model="finalmlp", settings=["second_gate=buyer"])


def test_bf16_without_compiled_code_is_refused_at_once(
    toy: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="precision=bf16: only a compiled package scores in it"):
        recipe_of(toy, precision="bf16", compiled=False)
    none = Compiler(path=None, why="no g++", remedy="apt-get install g++")
    monkeypatch.setattr(recipe, "find_compiler", lambda: none)
    wants = changed(toy, training=replace(toy.training, precision="bf16"))
    with pytest.raises(UsageError, match=r"\(no g\+\+\). Use precision f32, or apt-get install"):
        recipe_of(wants)
    assert not recipe_of(wants, precision="f32").is_compiled


def test_the_key_changes_with_everything_that_decides_the_model(
    toy: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(definition: Definition = toy, training_set: str = "s", **options: object) -> str:
        return recipe_of(definition, **{"compiled": False, **options}).key(training_set)  # type: ignore[arg-type]

    asked_otherwise = changed(toy, training=replace(toy.training, config=SMALL[::-1]))
    assert key() == key() == key(asked_otherwise) == key(settings=["embedding_dim=4"])
    keys = {
        key(),
        key(training_set="t"),
        key(model="fm"),
        key(settings=["embedding_dim=5"]),
        key(changed(toy, training=replace(toy.training, seed=8))),
    }
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "find_compiler", lambda: Compiler(path="/usr/bin/g++"))
        keys |= {key(compiled=True), key(compiled=True, precision="bf16")}
    monkeypatch.setattr(recipe, "model_code", lambda module: f"edited {module}")
    assert len(keys | {key()}) == 8


def test_the_record_holds_every_setting_and_the_precision(toy: Definition) -> None:
    params = recipe_of(toy).params()
    assert params["config.embedding_dim"] == 4
    assert params["config.cross_layers"] == 4
    assert (params["model"], params["precision"], params["seed"]) == ("dcnv2", "f32", 7)


TRAIN = ("train", "--pipeline", "flights", "--from", "2013-01-01", "--to", "2013-02-28",
         "--eval-to", "2013-03-10")  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--model", "finalmlp", "--set", "colour=1"),
            "finalmlp: colour='1': is no setting of finalmlp; there are: embed",
        ),
        (("--set", "embedding_dim=x"), "embedding_dim='x': must be a whole number"),
        (("--model", "dcnv2", "--set", "heads=5"), "heads='5': is no setting of dcnv2; there are"),
        (
            ("--model", "finalmlp", "--set", "first_gate=buyer"),
            "first_gate='buyer': is no field; there are carrier",
        ),
        (("--precision", "f16"), "'f16' is not one of 'f32', 'bf16'"),
    ],
)
def test_the_command_refuses_a_wrong_setting_before_spark_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path,
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))
    assert cli.main([*TRAIN, *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "start spark" not in told
    assert not (tmp_path / "home").exists()


def test_the_commands_help_names_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--help"]) == 0
    assert ", ".join(registry.names()) in " ".join(capsys.readouterr().out.split())


def test_a_precision_that_is_none_is_refused(toy: Definition) -> None:
    with pytest.raises(ConfigInvalid, match="precision='int8': must be one of f32, bf16"):
        recipe_of(toy, precision="int8")
