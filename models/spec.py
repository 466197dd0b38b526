"""The entry that a registry holds for a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.ranker import Ranker
    from models.signature import Signature
    from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One entry of the registry; its module is imported when the model is first needed."""

    name: str
    module: str
    """Dotted name of the module that holds the config's class and a function `build`.

    In a file of one's own that holds all three it is `__name__`.
    """
    config: str
    """Name of the config's class: a frozen dataclass whose defaults work."""
    description: str
    paper: str = ""
    embedding_l2: float = 0.0
    """L2 weight on the embedding table when `TrainConfig.embedding_l2` is None."""

    @property
    def config_class(self) -> type[Any]:
        """The config's class."""
        found: type[Any] = getattr(import_module(self.module), self.config)
        return found

    @property
    def build(self) -> Callable[[Any, Signature, Vocabulary], Ranker]:
        """(config, signature, fitted vocabulary) -> an untrained model."""
        found: Callable[[Any, Signature, Vocabulary], Ranker] = import_module(self.module).build
        return found
