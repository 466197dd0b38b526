"""Python text of nested calls, laid out as `ruff format` lays it out, with remarks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from feature_store.text import visible

_WIDTH, _STEP = 100, 4
BY = "guessed from files by `nightscore init`: read each remark"
"""What a module's docstring says of how it came to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One argument of a call or one value of a tuple."""

    value: Value
    keyword: str = ""
    remarks: tuple[str, ...] = ()
    """What is said above it; each is a paragraph."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a name."""

    name: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Several:
    """A tuple."""

    items: tuple[Item, ...]


Value = str | Call | Several
"""A text is code as it stands."""


def literal(value: str | float | bool | date | None) -> str:
    """Return a plain value as code."""
    if isinstance(value, date):
        return f"date({value.year}, {value.month}, {value.day})"
    return _text(value) if isinstance(value, str) else repr(value)


def call(name: str, /, *values: Value, **keywords: Value) -> Call:
    """Return a call without remarks."""
    items = [Item(value=value) for value in values]
    items += [Item(value=value, keyword=keyword) for keyword, value in keywords.items()]
    return Call(name, tuple(items))


def several(values: Iterable[Value]) -> Several:
    """Return a tuple without remarks."""
    return Several(tuple(Item(value=value) for value in values))


def assignment(name: str, value: Value) -> str:
    """Return `name = value` as lines of code."""
    return "\n".join(_lines(value, 0, f"{name} = ", "")) + "\n"


def argument(name: str, value: Value) -> str:
    """Return `name=value,` as lines of code, as it stands among the arguments of a call."""
    return "\n".join(_lines(value, _STEP, f"{name}=", ",")) + "\n"


def imports(module: str, names: Iterable[str]) -> str:
    """Return an import as a line of code, or as many as it takes."""
    ordered = sorted(names)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= _WIDTH:
        return line + "\n"
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in ordered) + ")\n"


def remark(text: str, indent: int = 0) -> list[str]:
    """Return a remark as lines that begin with #; nothing in it is code."""
    pad = " " * indent
    lines = textwrap.wrap(
        visible(text), _WIDTH - indent - 2, break_long_words=False, break_on_hyphens=False
    )
    return [f"{pad}# {line}" for line in lines]


def _lines(value: Value, indent: int, before: str, after: str) -> list[str]:
    pad, flat = " " * indent, _flat(value)
    if flat is not None and len(f"{pad}{before}{flat}{after}") <= _WIDTH:
        return [f"{pad}{before}{flat}{after}"]
    if isinstance(value, str):
        return [f"{pad}{before}{value}{after}"]
    opening = f"{value.name}(" if isinstance(value, Call) else "("
    out = [f"{pad}{before}{opening}"]
    for item in value.items:
        for text in item.remarks:
            out += remark(text, indent + _STEP)
        named = f"{item.keyword}=" if item.keyword else ""
        out += _lines(item.value, indent + _STEP, named, ",")
    return [*out, f"{pad}){after}"]


def _flat(value: Value) -> str | None:
    """Return a value on one line; None if something is said of a part of it."""
    if isinstance(value, str):
        return value
    parts = []
    for item in value.items:
        flat = _flat(item.value)
        if flat is None or item.remarks:
            return None
        parts.append(f"{item.keyword}={flat}" if item.keyword else flat)
    if isinstance(value, Call):
        return f"{value.name}({', '.join(parts)})"
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def _text(text: str) -> str:
    """Return a text as a literal, in double quotes unless that takes more escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    out = []
    for letter in text:
        if letter in ("\\", quote):
            out.append(f"\\{letter}")
        elif letter.isprintable():
            out.append(letter)
        else:
            out.append(letter.encode("unicode_escape", "surrogatepass").decode())
    return f"{quote}{''.join(out)}{quote}"
