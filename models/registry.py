"""The zoo: every model that can be trained and scored at speed.

To list it costs nothing: a model's module, and torch with it, is imported when it is asked for.
Models of installed packages stand beside those of the zoo, and so does one that was named by its
file, from then on in this process.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from models import external
from models.errors import ConfigInvalid, ModelInvalid, UnknownModel
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
    "fwfm": ModelSpec(
        name="fwfm",
        module="models.zoo.fwfm",
        config="FwFMConfig",
        description="Factorisation machine with a weight for each pair of fields",
        paper="Pan et al. 2018, Field-weighted Factorization Machines",
        embedding_l2=5e-6,
    ),
    "fmfm": ModelSpec(
        name="fmfm",
        module="models.zoo.fmfm",
        config="FmFMConfig",
        description="Factorisation machine with a matrix for each pair of fields",
        paper="Sun et al. 2021, FM2: Field-matrixed Factorization Machines for Recommender Systems",
        embedding_l2=5e-6,
    ),
    "dnn": ModelSpec(
        name="dnn",
        module="models.zoo.dnn",
        config="DNNConfig",
        description="One perceptron over all fields; what interactions are to be better than",
        paper="Covington et al. 2016, Deep Neural Networks for YouTube Recommendations",
        embedding_l2=0.05,
    ),
    "wide_deep": ModelSpec(
        name="wide_deep",
        module="models.zoo.wide_deep",
        config="WideDeepConfig",
        description="A linear model beside a deep network",
        paper="Cheng et al. 2016, Wide & Deep Learning for Recommender Systems",
        embedding_l2=0.05,
    ),
    "deepfm": ModelSpec(
        name="deepfm",
        module="models.zoo.deepfm",
        config="DeepFMConfig",
        description="A factorisation machine beside a deep network, over the same vectors",
        paper="Guo et al. 2017, DeepFM",
        embedding_l2=0.05,
    ),
    "ipnn": ModelSpec(
        name="ipnn",
        module="models.zoo.ipnn",
        config="IPNNConfig",
        description="A perceptron over all fields and the dot product of every pair",
        paper="Qu et al. 2016, Product-based Neural Networks for User Response Prediction",
        embedding_l2=0.05,
    ),
    "dcn": ModelSpec(
        name="dcn",
        module="models.zoo.dcn",
        config="DCNConfig",
        description="A cross network of vectors beside a deep network; cheap crosses",
        paper="Wang et al. 2017, Deep & Cross Network for Ad Click Predictions",
        embedding_l2=0.05,
    ),
    "gdcn": ModelSpec(
        name="gdcn",
        module="models.zoo.gdcn",
        config="GDCNConfig",
        description="A gated cross network beside or before a deep network",
        paper="Wang et al. 2023, Towards Deeper, Lighter and Interpretable Cross Network",
        embedding_l2=0.05,
    ),
    "xdeepfm": ModelSpec(
        name="xdeepfm",
        module="models.zoo.xdeepfm",
        config="XDeepFMConfig",
        description="Crosses of whole vectors beside a linear and a deep part",
        paper="Lian et al. 2018, xDeepFM",
        embedding_l2=0.05,
    ),
    "fibinet": ModelSpec(
        name="fibinet",
        module="models.zoo.fibinet",
        config="FiBiNETConfig",
        description="Fields weighed by squeeze and excitation, crossed by bilinear forms",
        paper="Huang et al. 2019, FiBiNET",
        embedding_l2=0.05,
    ),
    "masknet": ModelSpec(
        name="masknet",
        module="models.zoo.masknet",
        config="MaskNetConfig",
        description="Blocks that multiply what they see by a mask made of the row",
        paper="Wang et al. 2021, MaskNet",
        embedding_l2=0.1,
    ),
    "autoint": ModelSpec(
        name="autoint",
        module="models.zoo.autoint",
        config="AutoIntConfig",
        description="Fields that attend to one another",
        paper="Song et al. 2019, AutoInt",
        embedding_l2=0.1,
    ),
    "autoint_plus": ModelSpec(
        name="autoint_plus",
        module="models.zoo.autoint",
        config="AutoIntPlusConfig",
        description="Fields that attend to one another, beside a deep network",
        paper="Song et al. 2019, AutoInt",
        embedding_l2=0.1,
    ),
    "dcnv2": ModelSpec(
        name="dcnv2",
        module="models.zoo.dcnv2",
        config="DCNv2Config",
        description="Cross network beside a deep network; a strong default",
        paper="Wang et al. 2021, DCN V2",
        embedding_l2=0.05,
    ),
    "dcnv2_mix": ModelSpec(
        name="dcnv2_mix",
        module="models.zoo.dcnv2",
        config="DCNv2MixConfig",
        description="DCNv2 whose cross layers are mixtures of low-rank experts",
        paper="Wang et al. 2021, DCN V2",
        embedding_l2=0.05,
    ),
    "eulernet": ModelSpec(
        name="eulernet",
        module="models.zoo.eulernet",
        config="EulerNetConfig",
        description="Crosses of learned orders, as sums of phases in the complex plane",
        paper="Tian et al. 2023, EulerNet",
        embedding_l2=0.01,
    ),
    "armnet": ModelSpec(
        name="armnet",
        module="models.zoo.armnet",
        config="ARMNetConfig",
        description="Products of powers that sparse attention chooses by row",
        paper="Cai et al. 2021, ARM-Net",
        embedding_l2=0.01,
    ),
    "finalmlp": ModelSpec(
        name="finalmlp",
        module="models.zoo.finalmlp",
        config="FinalMLPConfig",
        description="Two gated perceptrons fused by a bilinear form; small and accurate",
        paper="Mao et al. 2023, FinalMLP",
        embedding_l2=0.05,
    ),
    "finalnet": ModelSpec(
        name="finalnet",
        module="models.zoo.finalnet",
        config="FinalNetConfig",
        description="Two blocks of factorised interactions that also learn from their mean",
        paper="Zhu et al. 2023, FINAL: Factorized Interaction Layer for CTR Prediction",
        embedding_l2=0.05,
    ),
}


_FROM_FILES: dict[str, ModelSpec] = {}
"""Models that were named by their file, by their own name."""


def names() -> list[str]:
    """Return the names of all models that can be asked for without a file."""
    return sorted({*MODELS, *external.installed()})


def resolve(reference: str) -> str:
    """Return the name of a model that is given by its name, or as `path.py:NAME`.

    Raises:
        UnknownModel: no model has this name; the message lists those there are.
        ModelInvalid: a model from outside cannot be used, or has the name of another.
    """
    if not external.is_in_file(reference):
        return get(reference).name
    spec = external.from_file(reference)
    if spec.name in names():
        raise ModelInvalid(reference, f"name={spec.name!r}: there is a model of that name already")
    _FROM_FILES[spec.name] = spec
    return spec.name


def get(name: str) -> ModelSpec:
    """Return the spec of a model.

    Raises:
        UnknownModel: no model has this name; the message lists those there are.
        ModelInvalid: an installed package's model cannot be used.
    """
    spec = MODELS.get(name) or _FROM_FILES.get(name)
    if spec is None:
        point = external.installed().get(name)
        if point is None:
            raise UnknownModel(name, names())
        spec = external.of_package(point)
    return spec


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
