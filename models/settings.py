"""A model's settings as they come from outside: typed from a definition, as text from a command.

What comes out is the model's own frozen config, so a setting that the model does not have, or a
value that it cannot mean, is found before anything is started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, get_args, get_origin, get_type_hints

from models import registry
from models.errors import ConfigInvalid
from models.signature import Signature
from models.vocabulary import KeyCounts

_MEANS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple[int, ...]: "whole numbers, such as 400,400",
    tuple[str, ...]: "names, such as user,item",
}
_BOOLEANS = {"true": True, "false": False}


def config_of(model: str, settings: Mapping[str, object]) -> Any:
    """Return the config of a model with these settings, and its defaults for the others.

    Raises:
        ConfigInvalid: the model has no such setting, or the value breaks its rule.
        UnknownModel: there is no such model.
    """
    typed = {name: _typed(model, name, value) for name, value in settings.items()}
    return registry.get(model).config_class(**typed)


def read_settings(model: str, given: Iterable[str]) -> dict[str, object]:
    """Return `name=value` texts as typed settings; a list is written with commas: `400,400`.

    Raises:
        ConfigInvalid: a text is not written so, or is no setting of the model.
        UnknownModel: there is no such model.
    """
    found: dict[str, object] = {}
    for text in given:
        name, is_given, value = (part.strip() for part in text.partition("="))
        if not is_given:
            raise ConfigInvalid(model, "--set", text, "must be written NAME=VALUE")
        found[name] = _read(model, name, value)
    return found


def check_fits(model: str, config: Any, signature: Signature) -> None:
    """Return if a model with this config can be built over these columns.

    Raises:
        ConfigInvalid: it cannot; say, a gate names a field that is not there.
    """
    nothing = KeyCounts(signature.categorical, signature.lists).fit()
    registry.get(model).build(config, signature, nothing)


def kinds_of(model: str) -> dict[str, Any]:
    """Return setting -> type of a model, in their order."""
    config_class = registry.get(model).config_class
    hints = get_type_hints(config_class)
    return {field.name: hints[field.name] for field in fields(config_class)}


def _kind(model: str, name: str, value: object) -> Any:
    kinds = kinds_of(model)
    if name not in kinds:
        listed = f"there are: {', '.join(kinds)}" if kinds else f"{model} has none"
        raise ConfigInvalid(model, name, value, f"is no setting of {model}; {listed}")
    return kinds[name]


def _read(model: str, name: str, text: str) -> object:
    kind = _kind(model, name, text)
    is_list, item = get_origin(kind) is tuple, (get_args(kind) or (kind,))[0]
    try:
        if is_list:
            return tuple(_word(part.strip(), item) for part in text.split(",") if part.strip())
        return _word(text, item)
    except ValueError:  # it says no more than ours, and is no trace to keep
        raise ConfigInvalid(model, name, text, f"must be {_MEANS[kind]}") from None


def _word(text: str, kind: Any) -> object:
    if kind is not bool:
        return kind(text)
    if text.lower() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.lower()]


def _typed(model: str, name: str, value: object) -> object:
    kind = _kind(model, name, value)
    if isinstance(value, list):
        value = tuple(value)
    if kind is float and _is(value, int):
        value = float(value)  # type: ignore[arg-type]
    if not _is(value, kind):
        raise ConfigInvalid(model, name, value, f"must be {_MEANS[kind]}")
    return value


def _is(value: object, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_is(item, get_args(kind)[0]) for item in value)
    # True is an int to Python, and no size of a layer to us.
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
