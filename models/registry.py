"""The zoo: every model that can be trained and scored at speed.

To list it costs nothing: a model's module, and torch with it, is imported when it is asked for.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from models.errors import ConfigInvalid, UnknownModel
from models.spec import ModelSpec

MODELS: dict[str, ModelSpec] = {
    "lr": ModelSpec(
        name="lr",
        module="models.zoo.lr",
        config="LRConfig",
        description="Logistic regression: one weight per value; the floor to beat",
        paper="McMahan et al. 2013, Ad Click Prediction: a View from the Trenches",
        embedding_l2=1e-5,
    ),
    "fm": ModelSpec(
        name="fm",
        module="models.zoo.fm",
        config="FMConfig",
        description="Factorisation machine: all pairs of fields by dot product",
        paper="Rendle 2010, Factorization Machines",
        embedding_l2=5e-6,
    ),
    "dcnv2": ModelSpec(
        name="dcnv2",
        module="models.zoo.dcnv2",
        config="DCNv2Config",
        description="Cross network beside a deep network; a strong default",
        paper="Wang et al. 2021, DCN V2",
        embedding_l2=0.05,
    ),
    "finalmlp": ModelSpec(
        name="finalmlp",
        module="models.zoo.finalmlp",
        config="FinalMLPConfig",
        description="Two gated perceptrons fused by a bilinear form; small and accurate",
        paper="Mao et al. 2023, FinalMLP",
        embedding_l2=0.05,
    ),
}


def get(name: str) -> ModelSpec:
    """Return the spec of a model.

    Raises:
        UnknownModel: no model has this name; the message lists those there are.
    """
    if name not in MODELS:
        raise UnknownModel(name, MODELS)
    return MODELS[name]


def config_to_json(config: Any) -> str:
    """Return a model's config as JSON text."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def config_from_json(name: str, text: str) -> Any:
    """Return the config of model `name` that `config_to_json` wrote.

    Raises:
        ConfigInvalid: an entry is unknown or breaks its rule.
    """
    config_class, raw = get(name).config_class, json.loads(text)
    unknown = set(raw) - {field.name for field in dataclasses.fields(config_class)}
    if unknown:
        raise ConfigInvalid(name, "config", sorted(unknown), "has unknown entries")
    return config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})
