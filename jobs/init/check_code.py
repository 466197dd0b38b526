"""Suggested checks as code, ready to stand in a definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.init.code import Call, Item, Several, Value, argument, literal, several

if TYPE_CHECKING:
    from feature_store.definition import Check
    from feature_store.quality.suggest import Suggestion


def checks_code(found: Sequence[Suggestion]) -> str:
    """Return checks as the argument `checks` of a definition, what was seen above each."""
    items = tuple(Item(value=_check(one.check), remarks=(f"{one.seen}.",)) for one in found)
    return argument("checks", Several(items))


def _check(check: Check) -> Call:
    given: dict[str, Value] = {"stage": literal(check.stage), "kind": literal(check.kind)}
    if check.columns:
        given["columns"] = several(map(literal, check.columns))
    for name in ("minimum", "maximum"):
        limit = getattr(check, name)
        if limit is not None:
            given[name] = _number(limit)
    if check.values:
        given["values"] = several(map(literal, check.values))
    if check.mostly != 1.0:
        given["mostly"] = literal(check.mostly)
    if check.severity != "block":
        given["severity"] = literal(check.severity)
    return Call("Check", tuple(Item(value=value, keyword=name) for name, value in given.items()))


def _number(value: float) -> str:
    return f"{int(value):_}" if value == int(value) else literal(value)
