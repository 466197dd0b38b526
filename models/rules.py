"""Rules that settings of many models share; each names the setting, its value and the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
