"""The pipelines: one module each, which holds its `DEFINITION`."""

from __future__ import annotations

import importlib
import pkgutil

from feature_store.definition import Definition
from feature_store.errors import UsageError


def names() -> list[str]:
    """Return the names of all pipelines, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Definition:
    """Return the definition of that name.

    Raises:
        UsageError: there is no such pipeline.
    """
    if name not in names():
        raise UsageError(f"pipeline={name!r} is unknown; there are: {', '.join(names())}")
    definition: Definition = importlib.import_module(f"{__name__}.{name}").DEFINITION
    return definition
