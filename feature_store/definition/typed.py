"""Whether each value of a declaration is what its field declares."""

from __future__ import annotations

import dataclasses
import math
from datetime import date, datetime
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from feature_store.definition.naming import Broken
from feature_store.definition.parts import Source

_CALLED = {float: "a number", int: "a whole number", date: "a date", str: "text", NoneType: "None"}


def wrong_types(where: str, value: object, hint: Any) -> Broken:
    """Yield what is not what its field declares; `where` is the path to it, empty for the whole."""
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            yield where, value, f"must be one of {', '.join(map(repr, get_args(hint)))}"
    elif origin in (Union, UnionType):
        yield from _wrong_in_union(where, value, get_args(hint))
    elif origin is tuple:
        yield from _wrong_in_tuple(where, value, get_args(hint))
    elif not _is_a(value, hint):
        yield where, value, f"must be {_called(hint)}"
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        for field in dataclasses.fields(hint):
            path = f"{where}.{field.name}" if where else field.name
            yield from wrong_types(path, getattr(value, field.name), hints[field.name])


def _wrong_in_union(where: str, value: object, options: tuple[Any, ...]) -> Broken:
    if dataclasses.is_dataclass(value) and type(value) in options:
        yield from wrong_types(where, value, type(value))
    elif all(any(wrong_types(where, value, option)) for option in options):
        yield where, value, f"must be {' or '.join(map(_called, options))}"


def _wrong_in_tuple(where: str, value: object, hints: tuple[Any, ...]) -> Broken:
    if not isinstance(value, tuple):
        yield where, value, "must be a tuple; one of a single item is written (item,)"
        return
    each = hints[:1] * len(value) if hints[-1] is Ellipsis else hints
    if len(value) != len(each):
        yield where, value, f"must have {len(each)} items"
        return
    for index, (item, hint) in enumerate(zip(value, each, strict=True)):
        name = getattr(item, "name", None)
        yield from wrong_types(f"{where}.{name}" if name else f"{where}[{index}]", item, hint)


def _is_a(value: object, hint: Any) -> bool:
    """Whether a value is of a class, without Python's kinship of bool, int, date and datetime."""
    if hint is Source:
        methods = (getattr(value, name, None) for name in ("fingerprint", "read"))
        return dataclasses.is_dataclass(value) and all(map(callable, methods))
    if hint in (int, float) and isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    if hint is date and isinstance(value, datetime):
        return False
    return isinstance(value, hint)


def _called(hint: Any) -> str:
    if hint is Source:
        return "a frozen dataclass with fingerprint(day) and read(spark, days)"
    return _CALLED.get(hint) or f"a {getattr(hint, '__name__', hint)}"  # of tuple[int, ...], tuple
