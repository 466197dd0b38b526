"""Rendered modules are loaded before they are written: what is put down is known to load."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.abc import InspectLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from feature_store.definition import Definition
from feature_store.errors import DefinitionError, UsageError


def require_sound(texts: Mapping[str, str], *, is_labelled: bool) -> None:
    """Do nothing if rendered modules load; for want of a label they are refused, and may be.

    Raises:
        UsageError: they break a rule: the message names it.
    """
    try:
        loaded(texts)
    except (DefinitionError, ValueError) as error:
        of_label = isinstance(error, DefinitionError) and error.field.startswith("labels.")
        if of_label and not is_labelled:
            return
        raise UsageError(
            f"what was guessed would be refused: {error}. Nothing was written. Rename or remove "
            "what is at fault in the files, or write the pipeline by hand: "
            "docs/adding-a-pipeline.md"
        ) from error


def loaded(texts: Mapping[str, str]) -> Definition:
    """Return the definition of rendered modules, the last of which holds it.

    Args:
        texts: the text of each module by its path; those that others import come first.

    Raises:
        DefinitionError: the stream or the definition breaks a rule.
        ValueError: the source does.
    """
    names = {path: path.removesuffix(".py").replace("/", ".") for path in texts}
    before = {name: sys.modules.pop(name, None) for name in names.values()}
    try:
        for path, text in texts.items():
            module = _executed(names[path], text)
        made: Definition = module.DEFINITION
        return made
    finally:
        for name, old in before.items():
            sys.modules.pop(name, None)
            if old is not None:
                sys.modules[name] = old


def _executed(name: str, text: str) -> ModuleType:
    loader = _Text(text)
    spec = spec_from_loader(name, loader)
    if spec is None:  # only a loader that knows of no package has none
        raise ImportError(name)
    module = module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


class _Text(InspectLoader):
    """Makes a module of a text that is in no file."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, fullname: str) -> str:
        """Return the text of the module."""
        return self._text
