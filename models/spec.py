"""The entry that a registry holds for a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.ranker import Ranker
    from models.signature import Signature
    from models.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One entry of the registry."""

    name: str
    config_class: type[Any]
    """A frozen dataclass whose defaults work."""
    build: Callable[[Any, Signature, Vocabulary], Ranker]
    """(config, signature, fitted vocabulary) -> an untrained model."""
    description: str
    paper: str
    embedding_l2: float = 0.0
    """L2 weight on the embedding table when `TrainConfig.embedding_l2` is None."""
