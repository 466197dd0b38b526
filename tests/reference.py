"""The page of all that a stream and a definition are made of, from the docstrings in the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from feature_store import definition as package
from feature_store.definition import Definition, Stream

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
RENEW = "python -m tests.unit.test_reference"

_BEGIN = (Stream, Definition)
"""What a file of a stream holds, and what that of a pipeline does: all else is part of them."""
_ABOVE = "(said above)"

_HEAD = f"""\
# Reference: streams and definitions

What may stand in a file of `feature_store/streams/` and in one of `feature_store/definitions/`, all
of it imported from `feature_store.definition`. How the parts go together: [Adding a
pipeline](adding-a-pipeline.md). What reads files: [Delivered files](delivered-files.md).

This page is made of the docstrings in `feature_store/definition/`: change those, then `{RENEW}`.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One field, as the code writes it."""

    name: str
    type: str
    default: str
    """Empty where a value must be given."""
    meaning: str
    """The text below the field; empty where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One dataclass that a person writes."""

    name: str
    text: str
    """Its docstring, in Markdown."""
    fields: tuple[Field, ...]

    @property
    def summary(self) -> str:
        """The first sentence of its docstring."""
        return re.split(r"(?<=\.)\s", self.text, maxsplit=1)[0]

    @property
    def untold(self) -> list[str]:
        """The fields of which neither a text below them nor the docstring says what they mean."""
        return [f.name for f in self.fields if not f.meaning and f"`{f.name}`" not in self.text]


def entries() -> list[Entry]:
    """Return what a stream and a definition are made of, in the order in which they name it."""
    found: dict[type, Entry] = {}
    for begin in _BEGIN:
        for cls in _parts(begin, set(found)):
            found[cls] = entry(cls)
    return list(found.values())


def entry(cls: type) -> Entry:
    """Return what the code says of a dataclass and of its fields, those of its bases first."""
    told = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            told |= {field.name: field for field in _own_fields(base)}
    names = [f.name for f in dataclasses.fields(cls) if f.init]  # type: ignore[arg-type]
    # Not what `__doc__` says: a dataclass without a docstring has its signature there.
    text = _markdown(ast.get_docstring(_class(cls)[1]) or "")
    return Entry(name=cls.__name__, text=text, fields=tuple(told[name] for name in names))


def page() -> str:
    """Return the page as the code is now."""
    told = entries()
    index = [f"- [`{one.name}`](#{one.name.lower()}): {one.summary}" for one in told]
    index.append("- [Named types](#named-types): what a field's type may be short for.")
    parts = [_HEAD, "\n".join(index), *map(_section, told), _types()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _parts(cls: type, seen: set[type]) -> Iterator[type]:
    """Yield a dataclass and those that its fields hold, and theirs, each once."""
    if cls in seen:
        return
    seen.add(cls)
    yield cls
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        for part in _dataclasses_in(hints[field.name]):
            yield from _parts(part, seen)


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
    for inner in get_args(hint):
        yield from _dataclasses_in(inner)


def _own_fields(cls: type) -> Iterator[Field]:
    """Yield the fields that a class itself declares, with the text that stands below each."""
    source, body = _class(cls)
    for place, item in enumerate(body.body):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield Field(
                name=item.target.id,
                type=_as_written(source, item.annotation),
                default=_as_written(source, _default(item.value)),
                meaning=_text(body.body[place + 1 : place + 2]),
            )


def _class(cls: type) -> tuple[str, ast.ClassDef]:
    """Return the code of a class, and what Python reads in it."""
    source = textwrap.dedent(inspect.getsource(cls))
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    return source, body


def _default(value: ast.expr | None) -> ast.expr | None:
    """Return the default; of `field(…)` the one that it gives."""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {word.arg: word.value for word in value.keywords}
        return given.get("default", given.get("default_factory"))
    return value


def _as_written(source: str, part: ast.expr | None) -> str:
    """Return a part of the code as it stands there, on one line; empty for none."""
    written = ast.get_source_segment(source, part) if part is not None else ""
    return " ".join((written or "").split())


def _text(below: list[ast.stmt]) -> str:
    """Return the text that a statement is, on one line; empty for any other statement."""
    for item in below:
        if isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant):
            return " ".join(str(item.value.value).split())
    return ""


def _markdown(docstring: str) -> str:
    """Return a docstring with the errors that it lists as a sentence each."""
    text, _, raised = docstring.partition("\nRaises:\n")
    errors = re.findall(r"^ {4}(\w+): (.+(?:\n {5,}.+)*)$", raised, flags=re.MULTILINE)
    said = [f"Raises `{error}`: {' '.join(why.split())}" for error, why in errors]
    return "\n\n".join([text.strip(), *said])


def _section(one: Entry) -> str:
    rows = [
        (f"`{f.name}`", f"`{f.type}`", f"`{f.default}`" if f.default else "", f.meaning or _ABOVE)
        for f in one.fields
    ]
    return f"## {one.name}\n\n{one.text}\n\n{_table(('field', 'type', 'default', 'means'), rows)}"


def _types() -> str:
    """Return the section of the names that types are told by, with what each stands for."""
    used = {name for one in entries() for f in one.fields for name in re.findall(r"\w+", f.type)}
    rows = [(f"`{name}`", _stands_for(value)) for name, value in _named_types() if name in used]
    text = "A field without a default must be given. A tuple of one item is written `(item,)`."
    return f"## Named types\n\n{text}\n\n{_table(('type', 'is'), rows)}"


def _named_types() -> list[tuple[str, Any]]:
    """Return the names in the package's modules that are no dataclass and can be a field's type."""
    modules = [
        importlib.import_module(i.name)
        for i in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    found = {name: value for module in modules for name, value in vars(module).items()}
    return sorted(
        (name, value)
        for name, value in found.items()
        if (get_args(value) and not name.startswith("_")) or getattr(value, "_is_protocol", False)
    )


def _stands_for(value: Any) -> str:
    if isinstance(value, type):
        methods = ", ".join(f"`{name}`" for name in vars(value) if not name.startswith("_"))
        return f"{_one_line(value)} It has {methods}."
    return " or ".join(f"`{_called(option)}`" for option in get_args(value))


def _one_line(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _called(option: Any) -> str:
    if isinstance(option, str):
        return repr(option)
    return option.__name__ if isinstance(option, type) and not get_args(option) else str(option)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
