"""What a model is made by: everything that decides it but the rows, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from feature_store.definition import Sequence as SequenceOf
from feature_store.definition import json_digest
from feature_store.errors import UsageError
from jobs.version import model_code
from models.errors import ConfigInvalid
from models.scoring.compiler import find_compiler
from models.signature import ListField, Signature

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from models.scoring.precision import Precision
    from models.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A model of the zoo, its settings, and how it is trained and compiled."""

    reference: str
    """The model as it was asked for: its name, or `path.py:NAME` with the file's whole path."""
    model: str
    config: Any
    """The model's own config, every setting resolved."""
    train: TrainConfig
    precision: Precision
    signature: Signature
    is_compiled: bool
    """Whether there will be a compiled package: one was asked for, and there is a compiler."""

    @property
    def module(self) -> str:
        """The module that the model is built by."""
        from models import registry

        return registry.get(self.model).module

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready data, for the bundle."""
        return {
            "model": self.model,
            "code": model_code(self.module),
            "config": asdict(self.config),
            "train": asdict(self.train),
            "precision": self.precision,
            "compiled": self.is_compiled,
        }

    def params(self) -> dict[str, Any]:
        """Return the recipe as flat parameters, for MLflow."""
        config = {f"config.{name}": value for name, value in asdict(self.config).items()}
        train = asdict(self.train)
        return {"model": self.model, **train, **config, "precision": self.precision}

    def key(self, training_set: str) -> str:
        """Return 16 hex digits that are the same for trainings that would give the same model.

        The code that makes the model is one of the parts, so that an edited model is trained again
        (and no other). So is torch's version: a package that one compiled, another does not run.
        """
        import torch

        from models import registry

        spec = registry.get(self.model)
        made_of = {
            **self.to_json(),
            "training_set": training_set,
            "embedding_l2": spec.embedding_l2,
            "torch": torch.__version__,
        }
        return json_digest(made_of)


def recipe_of(
    definition: Definition,
    *,
    model: str | None = None,
    settings: Sequence[str] = (),
    precision: str | None = None,
    compiled: bool = True,
) -> Recipe:
    """Return the recipe of a training, with everything checked that can be before its rows exist.

    Args:
        definition: the pipeline; its `training` holds for what is not asked for here.
        model: a model's name, or `path.py:NAME`.
        settings: `name=value` texts, over the definition's settings if the model is its own, over
            the model's defaults if it is another.
        precision: `f32` or `bf16`.
        compiled: False leaves out the compiled package.

    Raises:
        UnknownModel: there is no such model.
        ModelInvalid: a model from outside the package cannot be used.
        UsageError: the precision cannot be had here.
        ConfigInvalid: a setting is unknown, breaks its rule, or does not fit the features.
    """
    from models import registry
    from models.settings import check_fits

    wanted = definition.training.model
    name = registry.resolve(model or wanted)
    is_own = wanted in (name, model or wanted)
    signature = signature_of(definition)
    config = model_config(definition, name, settings, is_own=is_own)
    check_fits(name, config, signature)
    is_compiled = compiled and find_compiler().path is not None
    return Recipe(
        reference=_whole(model or wanted, name),
        model=name,
        config=config,
        train=train_config(definition, is_own=is_own),
        precision=_precision(precision or definition.training.precision, is_compiled),
        signature=signature,
        is_compiled=is_compiled,
    )


def _whole(asked: str, name: str) -> str:
    """Return a reference that means the same from any folder."""
    path, colon, attribute = asked.rpartition(":")
    return f"{Path(path).resolve()}:{attribute}" if colon else name


def signature_of(definition: Definition) -> Signature:
    """Return which columns a model of the pipeline takes."""
    return Signature(
        categorical=definition.categorical_names(),
        numeric=definition.numeric_names(),
        labels=definition.label_names,
        lists=tuple(
            ListField(
                name=one.name,
                length=one.length,
                like=one.like,
                has_ages=isinstance(one, SequenceOf),
            )
            for one in definition.lists
        ),
    )


def model_config(
    definition: Definition, model: str, settings: Sequence[str] = (), *, is_own: bool
) -> Any:
    """Return the model's config: the definition's settings are for its own model only.

    Raises:
        ConfigInvalid: a setting is unknown or breaks its rule.
    """
    from models.settings import config_of, read_settings

    own = dict(definition.training.config) if is_own else {}
    return config_of(model, {**own, **read_settings(model, settings)})


def train_config(definition: Definition, *, is_own: bool) -> TrainConfig:
    """Return the definition's training settings for the trainer.

    The weight on embeddings was chosen for the definition's own model: another takes its own.

    Raises:
        ConfigInvalid: a setting breaks its rule.
    """
    from models.training.config import TrainConfig

    wanted = definition.training
    told = {field.name for field in fields(wanted)} & {field.name for field in fields(TrainConfig)}
    config = TrainConfig(**{name: getattr(wanted, name) for name in told})
    return config if is_own else replace(config, embedding_l2=None)


def _precision(wanted: str, is_compiled: bool) -> Precision:
    from models.scoring.precision import Precision

    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if precision == wanted:
            if precision != "f32" and not is_compiled:
                found = find_compiler()
                raise UsageError(
                    f"precision={wanted}: only a compiled package scores in it, and there will be "
                    f"none ({found.why or 'it was left out'}). "
                    f"Use precision f32{f', or {found.remedy}' if found.remedy else ''}"
                )
            return precision
    raise ConfigInvalid("training", "precision", wanted, f"must be one of {', '.join(known)}")
