"""Which files a piece of code is made of, by following its imports, and what their code is.

Files are read, not imported: to know what makes a model must not take the seconds that torch takes.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Module:
    """A module's file, by the folder that its dotted name starts in."""

    root: Path
    name: str

    @property
    def file(self) -> Path | None:
        """The file that is imported by this name; None for what is not below `root`."""
        place = self.root.joinpath(*self.name.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """How far imports are followed."""

    root: Path
    """The folder that holds the packages."""
    within: tuple[str, ...]
    """Packages whose files are followed; what lies elsewhere is no part of the code."""
    boundary: tuple[str, ...] = ()
    """Modules and packages of these that are not followed either."""

    def holds(self, name: str) -> bool:
        """Whether a module is followed."""
        return _is_below(name, self.within) and not _is_below(name, self.boundary)


def files_behind(entries: Iterable[str], scope: Scope) -> list[Path]:
    """Return the files of the modules `entries` and of all that they import, sorted.

    What is imported inside a function or for type checkers counts as well: a value's methods
    decide what is computed, wherever its class is named.

    Raises:
        LookupError: there is no module of an entry's name.
    """
    walk = _Walk(scope)
    for entry in entries:
        if Module(scope.root, entry).file is None:
            raise LookupError(f"module {entry}: there is no such file below {scope.root}")
        walk.take(entry)
    return sorted(walk.files)


def imported_modules(file: Path) -> set[str]:
    """Return the dotted names that the imports of a file may mean, whether modules or members."""
    found: set[str] = set()
    for module, member in _imported(file, file.stem):
        found |= {module} if member is None else {module, f"{module}.{member}"}
    return found


def code_digest(files: Iterable[Path], root: Path) -> str:
    """Return 16 hex digits over the files' names below `root` and their code."""
    told = hashlib.sha256()
    for file in files:
        told.update(f"{file.relative_to(root).as_posix()}\n{code_text(file)}\n".encode())
    return told.hexdigest()[:16]


def code_text(file: Path) -> str:
    """Return a file without what does nothing: comments, docstrings, empty lines."""
    return _bare(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=512)
def _bare(text: str) -> str:
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in _loose_texts(ast.parse(text)):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        # The tree counts columns in bytes.
        before, after = lines[first].encode()[: node.col_offset], lines[last].encode()
        lines[first : last + 1] = [""] * (last - first + 1)
        lines[first] = (before + after[node.end_col_offset :]).decode()
    return "\n".join(line.rstrip() for line in lines if line.strip())


@dataclass
class _Walk:
    """The files found so far."""

    scope: Scope
    files: set[Path] = field(default_factory=set)
    _taken: set[str] = field(default_factory=set)

    def take(self, name: str) -> None:
        """Take a module and what it imports."""
        file = Module(self.scope.root, name).file
        if file is None or name in self._taken:
            return
        self._taken.add(name)
        self.files.add(file)
        for module, member in _imported(file, name):
            for found in self._defined_in(module, member):
                if self.scope.holds(found):
                    self.take(found)

    def _defined_in(self, module: str, member: str | None) -> Iterator[str]:
        """Yield the module that a name comes from: a package's face only hands it on."""
        if member is None:
            yield module
            return
        if Module(self.scope.root, f"{module}.{member}").file is not None:
            yield f"{module}.{member}"
            return
        file = Module(self.scope.root, module).file
        handed_on = [
            inner
            for inner, name in (_imported(file, module) if file and _is_face(file) else ())
            if name == member and inner != module
        ]
        if not handed_on:
            yield module
        for inner in handed_on:
            yield from self._defined_in(inner, member)


def _imported(file: Path, name: str) -> Iterator[tuple[str, str | None]]:
    """Yield (module, member) of every import of a file; no member where a module is imported."""
    for node in _import_statements(file.read_text(encoding="utf-8")):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        else:
            module = _absolute(node, name, is_face=_is_face(file))
            yield from ((module, None if a.name == "*" else a.name) for a in node.names)


@lru_cache(maxsize=512)
def _import_statements(text: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    nodes = ast.walk(ast.parse(text))
    return tuple(node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def _absolute(node: ast.ImportFrom, importer: str, *, is_face: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = importer.split(".")
    base = parts[: len(parts) - node.level + is_face]
    return ".".join([*base, *([node.module] if node.module else [])])


def _is_face(file: Path) -> bool:
    return file.name == "__init__.py"


def _is_below(name: str, packages: Collection[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _loose_texts(tree: ast.Module) -> Iterator[ast.Expr]:
    """Yield every text that stands as a statement of its own, as docstrings do; the last first."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset), reverse=True)
