"""Signatures, configs and the registry refuse what they cannot mean."""

from __future__ import annotations

import dataclasses

import pytest

from models import registry
from models.errors import ConfigInvalid, UnknownModel
from models.registry import MODELS
from models.signature import Signature
from models.training.config import TrainConfig
from models.zoo.autoint import AutoIntConfig, AutoIntPlusConfig
from models.zoo.dcnv2 import DCNv2Config
from models.zoo.fibinet import FiBiNETConfig
from models.zoo.finalmlp import FinalMLPConfig, field_positions
from models.zoo.fm import FMConfig
from models.zoo.masknet import MaskNetConfig
from models.zoo.xdeepfm import XDeepFMConfig
from tests.unit.models.conftest import SIGNATURE, small


def test_signature_survives_json() -> None:
    assert Signature.from_json(SIGNATURE.to_json()) == SIGNATURE


@pytest.mark.parametrize(
    ("categorical", "numeric", "labels"),
    [((), (), ("y",)), (("a",), (), ()), (("a", "a"), (), ("y",)), (("",), (), ("y",))],
)
def test_a_signature_needs_fields_and_labels_each_once(
    categorical: tuple[str, ...], numeric: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigInvalid):
        Signature(categorical=categorical, numeric=numeric, labels=labels)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"categorical": 3}'])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="signature"):
        Signature.from_json(text)


def test_an_unknown_model_names_those_there_are() -> None:
    with pytest.raises(UnknownModel, match=", ".join(sorted(MODELS))) as caught:
        registry.get("bert")
    assert caught.value.exit_code == 2


def test_configs_survive_json(model: str) -> None:
    text = registry.config_to_json(small(model))
    assert registry.config_from_json(model, text) == small(model)
    with pytest.raises(ConfigInvalid, match="unknown"):
        registry.config_from_json(model, '{"colour": 1}')


def test_every_config_has_working_defaults_and_is_frozen(model: str) -> None:
    config = MODELS[model].config_class()
    assert dataclasses.is_dataclass(config)
    assert MODELS[model].name == model
    assert MODELS[model].config_class.__dataclass_params__.frozen


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: FMConfig(embedding_dim=0), "embedding_dim"),
        (lambda: DCNv2Config(cross_layers=0), "cross_layers"),
        (lambda: DCNv2Config(hidden=()), "hidden"),
        (lambda: DCNv2Config(dropout=1.0), "dropout"),
        (lambda: FinalMLPConfig(heads=3), "heads"),
        (lambda: AutoIntConfig(heads=3), "heads"),
        (lambda: AutoIntPlusConfig(hidden=(8, 0)), "hidden"),
        (lambda: XDeepFMConfig(cross_maps=()), "cross_maps"),
        (lambda: FiBiNETConfig(reduction=0), "reduction"),
        (lambda: MaskNetConfig(dropout=-0.1), "dropout"),
        (lambda: FinalMLPConfig(gate_hidden=(0,)), "gate_hidden"),
        (lambda: field_positions(("a",), ("b",), "first_gate"), "first_gate"),
        (lambda: TrainConfig(epochs=0), "epochs"),
        (lambda: TrainConfig(learning_rate=0), "learning_rate"),
        (lambda: TrainConfig(embedding_l2=-1), "embedding_l2"),
        (lambda: TrainConfig(monitor="loss"), "monitor"),  # type: ignore[arg-type]
        (lambda: TrainConfig(seed=-1), "seed"),
    ],
)
def test_a_broken_setting_is_named(make, field: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        make()
    assert caught.value.field == field
