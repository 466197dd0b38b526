"""The rules that streams and definitions have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Protocol

from feature_store.definition.naming import Broken
from feature_store.definition.parts import Source, plain
from feature_store.errors import DefinitionError


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class _Dated(Protocol):
    @property
    def first_day(self) -> date: ...

    @property
    def last_day(self) -> date | None: ...


def require_kept(named: _Named, broken: Broken, *, what: str) -> None:
    """Do nothing if no rule is broken; later ones are not looked at once one is.

    Raises:
        DefinitionError: the first rule that is broken, with the field and its value.
    """
    first = next(broken, None)
    if first is not None:
        raise DefinitionError(str(named.name), *first, what=what)


def days_in_order(dated: _Dated) -> Broken:
    """Yield a last day that is before the first."""
    if dated.last_day is not None and dated.last_day < dated.first_day:
        yield "last_day", dated.last_day, f"must not be before first_day={dated.first_day}"


def within(part: Any, ranges: Mapping[str, tuple[float, float]], where: str = "") -> Broken:
    """Yield each value of a part that is below the least or above the largest allowed one."""
    for name, (low, high) in ranges.items():
        value = getattr(part, name)
        if value is not None and not low <= value <= high:
            yield f"{where}{name}", value, f"must be in {low}..{high}"


def told_apart(source: Source, where: str) -> Broken:
    """Yield a source whose fields have no digest: what rows are made of must be told apart."""
    try:
        json.dumps(plain(source))
    except TypeError as error:
        rule = f"fields must be text, numbers, dates or tuples of these: {error}"
        yield where, source, rule


def named_once(field: str, parts: Iterable[_Named]) -> Broken:
    """Yield the names of parts if two of them are one but for their case."""
    names = [part.name for part in parts]
    if len({name.lower() for name in names}) != len(names):
        yield field, names, "names must be unique, whatever their case"
