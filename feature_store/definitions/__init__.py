"""The pipelines: one module each, which holds its `DEFINITION`; one named `_…` is no pipeline."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import traceback

from feature_store.definition import Definition
from feature_store.errors import DefinitionError, UsageError

_RULE = "must hold a DEFINITION of that name; if the file is no pipeline, let its name begin with _"


def names() -> list[str]:
    """Return the names of all pipelines, sorted, whether or not they can be loaded."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> Definition:
    """Return the definition of that name.

    Raises:
        UsageError: there is no such pipeline.
        DefinitionError: its file cannot be imported, or what it holds breaks a rule.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        meant = f". Did you mean {close[0]}?" if close else ""
        raise UsageError(f"pipeline={name!r} is unknown; there are: {', '.join(names())}{meant}")
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except DefinitionError:
        raise
    except Exception as error:  # whatever is wrong with one file is that pipeline's error alone
        raise DefinitionError(name, "file", _where(name, error), _why(error)) from error
    definition = getattr(module, "DEFINITION", None)
    if not isinstance(definition, Definition):
        raise DefinitionError(name, "DEFINITION", definition, _RULE)
    if definition.name != name:
        raise DefinitionError(name, "name", definition.name, f"must be that of its file, {name!r}")
    return definition


def load_all() -> tuple[dict[str, Definition], dict[str, DefinitionError]]:
    """Return the definitions that can be loaded and the errors of those that cannot, by name."""
    sound, broken = {}, {}
    for name in names():
        try:
            sound[name] = load(name)
        except DefinitionError as error:
            broken[name] = error
    return sound, broken


def _where(name: str, error: Exception) -> str:
    """Return the definition's file, and the line of it that came to grief, if one did."""
    spec = importlib.util.find_spec(f"{__name__}.{name}")
    path = str(spec.origin) if spec else name
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def _why(error: Exception) -> str:
    """Return what went wrong: a source's own refusal as it is, anything else with its kind."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
