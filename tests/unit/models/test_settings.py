"""A model's settings from a definition or a command line: typed, or refused by name."""

from __future__ import annotations

import dataclasses

import pytest

from models.errors import ConfigInvalid, UnknownModel
from models.registry import MODELS
from models.settings import _MEANS, check_fits, config_of, kinds_of, read_settings
from models.zoo.dcnv2 import DCNv2Config
from models.zoo.finalmlp import FinalMLPConfig
from tests.unit.models.conftest import SIGNATURE, small


def test_texts_become_the_models_own_config() -> None:
    given = ["embedding_dim=16", "hidden = 400, 400", "dropout=0", "batch_norm=False"]
    config = config_of("dcnv2", read_settings("dcnv2", given))
    expected = DCNv2Config(embedding_dim=16, hidden=(400, 400), dropout=0.0, batch_norm=False)
    assert config == expected
    assert isinstance(config.dropout, float)


def test_names_are_a_list_too_and_nothing_is_an_empty_one() -> None:
    settings = read_settings("finalmlp", ["first_gate=user,item", "second_gate="])
    assert config_of("finalmlp", settings) == FinalMLPConfig(first_gate=("user", "item"))


def test_no_settings_are_the_defaults(model: str) -> None:
    assert config_of(model, {}) == MODELS[model].config_class()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "dcnv2",
            "colour=1",
            "colour='1': is no setting of dcnv2; there are: embedding_dim, cross",
        ),
        ("lr", "embedding_dim=4", "is no setting of lr; lr has none"),
        ("dcnv2", "embedding_dim", "must be written NAME=VALUE"),
        ("dcnv2", "embedding_dim=ten", "embedding_dim='ten': must be a whole number"),
        ("dcnv2", "hidden=400;400", "must be whole numbers, such as 400,400"),
        ("dcnv2", "batch_norm=1", "must be true or false"),
        ("dcnv2", "embedding_dim=0", "embedding_dim=0: must be at least 1"),
        ("dcnv2", "dropout=nan", r"must be in \[0, 1\)"),
        ("finalmlp", "heads=7", "must divide the last size of both streams"),
    ],
)
def test_a_wrong_text_is_refused_by_name(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message) as refused:
        config_of(name, read_settings(name, [text]))
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    "settings",
    [{"embedding_dim": True}, {"embedding_dim": "16"}, {"hidden": 400}, {"hidden": ("a",)},
     {"dropout": "0.1"}, {"batch_norm": 1}, {"embedding_dim": 4.0}],
)  # fmt: skip
def test_a_definitions_value_must_be_of_the_settings_type(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigInvalid, match="must be"):
        config_of("dcnv2", settings)


def test_an_unknown_model_has_no_settings() -> None:
    with pytest.raises(UnknownModel):
        config_of("bert", {})


def test_every_setting_of_every_model_can_be_written(model: str) -> None:
    names = [field.name for field in dataclasses.fields(MODELS[model].config_class)]
    assert list(kinds_of(model)) == names
    assert set(kinds_of(model).values()) <= set(_MEANS)


def test_settings_are_tried_on_the_columns_before_there_are_rows(model: str) -> None:
    check_fits(model, small(model), SIGNATURE)


def test_a_gate_over_a_field_that_is_not_there_is_found_without_rows() -> None:
    with pytest.raises(ConfigInvalid, match="first_gate='nobody': is no field; there are user"):
        check_fits("finalmlp", FinalMLPConfig(first_gate=("nobody",)), SIGNATURE)
