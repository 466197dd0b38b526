"""Which files are meant, and whether their places say the day of their rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from os.path import commonpath
from pathlib import Path

from feature_store.errors import UsageError
from feature_store.sources.places import SUFFIXES, unfit

_DAY = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_KEYED = re.compile(r"[A-Za-z_]+=\d{4}-\d\d-\d\d\Z")
_WILD = "*?["
_ALL = "**/*"
_UNFIT_FOR_PATTERN = re.compile(r"[^A-Za-z0-9_.=*/{}-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where the files of one table lie."""

    files: tuple[Path, ...]
    days: tuple[date | None, ...]
    """The day that each file's place says, None where it says none."""
    folder: Path
    pattern: str | None = None
    """How the files of a day are found below `folder`, `{ds}` for the day; None: not by day."""
    asked: str = ""
    """What was asked for, as a source of undated files takes it."""

    @property
    def format(self) -> str:
        """`csv` or `parquet`."""
        return "parquet" if self.files[0].suffix == ".parquet" else "csv"


def lay_out(paths: Sequence[str | Path]) -> Layout:
    """Return the files that are meant: each path is a file, a folder of them, or a pattern.

    Raises:
        UsageError: nothing is there, or not all of it is CSV or all Parquet.
    """
    named = [Path(path).absolute() for path in paths]
    files = sorted({file for path in named for file in _files(path)})
    for file in files:
        why = unfit(file)
        if why:
            raise UsageError(f"file {file}: {why}. Name .csv or .parquet files")
        if file.suffix not in SUFFIXES:
            raise UsageError(
                f"file {file}: is neither .csv (.csv.gz, .zip) nor .parquet by its name. Rename it"
            )
    kinds = {file.suffix == ".parquet" for file in files}
    if len(kinds) > 1:
        raise UsageError(
            f"files {files[0]} … {files[-1]}: some are CSV and some Parquet. "
            "Give those of one kind; the others are another table"
        )
    days, places = zip(*(_dated(file, named) for file in files), strict=True)
    is_said = len(named) == 1 and (
        not named[0].is_dir() or {file.parent for file in files} == {named[0]}
    )
    asked = str(named[0]) if is_said else _pattern_of(files)
    if None in days:
        return Layout(
            files=tuple(files), days=(None,) * len(files), folder=_folder(files), asked=asked
        )
    folder, pattern = _by_day(files, places)
    return Layout(files=tuple(files), days=days, folder=folder, pattern=pattern, asked=asked)


def _base(path: Path) -> tuple[Path, str]:
    """Return the folder below which a path names files, and the pattern; no pattern for a file."""
    wild = [number for number, part in enumerate(path.parts) if any(s in part for s in _WILD)]
    if wild:
        return Path(*path.parts[: wild[0]]), str(Path(*path.parts[wild[0] :]))
    return (path, _ALL) if path.is_dir() else (path.parent, "")


def _files(path: Path) -> list[Path]:
    base, pattern = _base(path)
    if not pattern:
        return [path]
    is_folder = pattern == _ALL
    found = []
    for file in base.glob(pattern):
        if file.is_dir():
            found += [] if is_folder else [f for f in file.glob(_ALL) if f.suffix in SUFFIXES]
        elif not is_folder or file.suffix in SUFFIXES:
            found.append(file)
    found = [file for file in found if file.is_file() and not _is_hidden(file, base)]
    if not found:
        raise UsageError(f"data={str(path)!r}: holds no .csv or .parquet file. Name one")
    return found


def _is_hidden(file: Path, below: Path) -> bool:
    parts = file.relative_to(below).parts
    return any(part.startswith((".", "_")) for part in parts)


def _dated(file: Path, paths: Sequence[Path]) -> tuple[date | None, int]:
    """Return the day that a file's place says, and which part of its path says it.

    Of the folders above what was asked for only one like `ds=2026-01-02` says a day.
    """
    bases = [base for base, pattern in map(_base, paths) if pattern and base in file.parents]
    above = min((len(base.parts) for base in bases), default=len(file.parts) - 1)
    for number in range(len(file.parts) - 1, -1, -1):
        part = file.parts[number]
        if number < above and not _KEYED.match(part):
            continue
        for text in reversed(_DAY.findall(part)):
            try:
                return date.fromisoformat(text), number
            except ValueError:
                continue
    return None, -1


def _by_day(files: Sequence[Path], places: Sequence[int]) -> tuple[Path, str]:
    """Return the folder and the pattern under which all files are found by their day."""
    number = places[0]
    if len(set(places)) > 1:
        raise UsageError(
            f"files {files[0]} … {files[-1]}: say their day at different depths. Lay them out "
            "alike, as ds=2026-01-02/part.csv"
        )
    folder = Path(*files[0].parts[:number])
    apart = {file for file in files if Path(*file.parts[:number]) != folder}
    if apart:
        folder = _folder(files)
        number = len(folder.parts)
    below = [_undated_parts(file.parts[number:]) for file in files]
    deep = {len(parts) for parts in below}
    if len(deep) > 1:
        raise UsageError(
            f"files {files[0]} … {files[-1]}: lie at different depths below their day. Lay them "
            "out alike, as ds=2026-01-02/part.csv"
        )
    columns = [set(parts) for parts in zip(*below, strict=True)]
    pattern = "/".join(_one_pattern(sorted(column)) for column in columns)
    return folder, re.sub(r"\*+", "*", _UNFIT_FOR_PATTERN.sub("*", pattern))


def _undated_parts(parts: Sequence[str]) -> list[str]:
    """Return the parts of a path with `{ds}` for the last day in them."""
    out = list(parts)
    for number in range(len(out) - 1, -1, -1):
        found = list(_DAY.finditer(out[number]))
        if found:
            out[number] = (
                f"{out[number][: found[-1].start()]}{{ds}}{out[number][found[-1].end() :]}"
            )
            break
    return out


def _one_pattern(parts: Sequence[str]) -> str:
    """Return a pattern that holds all parts; one with the day keeps what is around it."""
    if len(parts) == 1 and "{ds}" in parts[0]:
        return parts[0]
    if any("{ds}" in part for part in parts):
        heads = {part.split("{ds}")[0] for part in parts}
        tails = {part.split("{ds}")[-1] for part in parts}
        head = heads.pop() if len(heads) == 1 else "*"
        return f"{head}{{ds}}{tails.pop() if len(tails) == 1 else '*'}"
    return "*"


def _folder(files: Sequence[Path]) -> Path:
    return Path(commonpath([file.parent for file in files]))


def _pattern_of(files: Sequence[Path]) -> str:
    """Return one path that names all files, and perhaps others beside them."""
    if len(files) == 1:
        return str(files[0])
    folder = _folder(files)
    deep = {len(file.relative_to(folder).parts) for file in files}
    rest = "/".join(["*"] * deep.pop()) if len(deep) == 1 else "**/*"
    suffix = files[0].suffix if len({file.suffix for file in files}) == 1 else ""
    return f"{folder}/{rest}{suffix}"
