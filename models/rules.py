"""Settings that many models share, and rules that name the setting, its value and the rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from models.errors import ConfigInvalid


def check_settings(
    model: str,
    config: Any,
    *,
    positive: Sequence[str] = (),
    sizes: Sequence[str] = (),
    shares: Sequence[str] = (),
) -> None:
    """Return if the named settings of a config keep their rules.

    Args:
        model: the model's name, for the message.
        config: its frozen config.
        positive: settings that are at least 1.
        sizes: settings that are one or more sizes, each at least 1.
        shares: settings in [0, 1).

    Raises:
        ConfigInvalid: one does not; the message names it.
    """
    for name in positive:
        if getattr(config, name) < 1:
            raise ConfigInvalid(model, name, getattr(config, name), "must be at least 1")
    for name in sizes:
        if not getattr(config, name) or min(getattr(config, name)) < 1:
            raise ConfigInvalid(model, name, getattr(config, name), "needs sizes of at least 1")
    for name in shares:
        if not 0 <= getattr(config, name) < 1:
            raise ConfigInvalid(model, name, getattr(config, name), "must be in [0, 1)")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepConfig:
    """Settings of a model that is a deep network; the defaults are BARS's for DNN on Frappe."""

    model: ClassVar[str]
    """The model's name, for messages."""
    positive: ClassVar[tuple[str, ...]] = ()
    """Settings of the model's own that are at least 1."""
    sizes: ClassVar[tuple[str, ...]] = ()
    """Settings of the model's own that are one or more sizes."""
    embedding_dim: int = 10
    hidden: tuple[int, ...] = (400, 400, 400)
    dropout: float = 0.2
    batch_norm: bool = True

    def __post_init__(self) -> None:
        check_settings(
            self.model,
            self,
            positive=("embedding_dim", *self.positive),
            sizes=("hidden", *self.sizes),
            shares=("dropout",),
        )
