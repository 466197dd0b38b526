"""One delivered file: which declared columns it has, of which raw types, and its rows.

A file is read by itself and as it is: what its values may become is judged later, where every raw
row is judged (`feature_store.events`), so that a day means the same alone and among others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from feature_store.errors import SourceCorrupt
from feature_store.raw import CORRUPT_RECORD, UNREADABLE, refusal, spelling
from feature_store.schema import DS, SOURCE_FILE
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.daycache import AGAIN, of_day

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from feature_store.definition import Column

Format = Literal["csv", "parquet"]

_SHOWN, _LETTERS = 30, 80
"""Names of a file's columns in a message, and characters of each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A file, or a part of one, to be read by one task."""

    path: str
    day: date
    format: Format
    delimiter: str
    part: tuple[int, int] | None = None
    """Row groups of a Parquet file, from the first to before the last; None is all of the file."""


def pieces_of(path: Path, day: date, kind: Format, delimiter: str) -> list[Piece]:
    """Return what tasks share out of a file, told as one of `day`."""
    parts = parquetfile.parts(path) if kind == "parquet" else [None]
    return [
        Piece(path=str(path), day=day, format=kind, delimiter=delimiter, part=part)
        for part in parts
    ]


MARKS = (DS, CORRUPT_RECORD, UNREADABLE, SOURCE_FILE)
"""What a raw row carries beside the columns of its file."""


def raw_types(
    path: Path,
    day: date | None,
    kind: Format,
    delimiter: str,
    columns: Sequence[Column],
    needed: Iterable[str] = (),
) -> tuple[str | None, ...]:
    """Return the raw type of each column in a file, by Spark's name; None where it has none.

    Args:
        path: the file.
        day: the day it belongs to, if it is of one.
        kind: what it is.
        delimiter: between the values of a CSV file.
        columns: what is read of it.
        needed: other columns that it must have.

    Raises:
        SourceCorrupt: the file cannot be read, lacks a column that may not be null, has one twice
            or under a like name, or holds a type that can never become the declared one.
    """
    with of_day(day):
        if kind == "csv":
            present = [(name, "string") for name in csvfile.header(path, delimiter)]
        else:
            present = parquetfile.types(path)
    declared = {column.name for column in columns}
    names = [name for name, _ in present]
    others = [name for name in names if name not in declared]
    absent = next((name for name in needed if name not in names), None)
    if absent:
        why = _missing(names, spelling(absent, others))
        raise SourceCorrupt(f"source file {path}: column {absent} {why}. {AGAIN}", day)
    found: list[str | None] = []
    for column in columns:
        problem = _problem(column, present, others)
        if problem:
            raise SourceCorrupt(f"source file {path}: column {column.name} {problem}. {AGAIN}", day)
        found.append(dict(present).get(column.name))
    return tuple(None if raw_type == parquetfile.NULL else raw_type for raw_type in found)


def _problem(
    column: Column, present: Sequence[tuple[str, str]], others: Sequence[str]
) -> str | None:
    """Return what is wrong with a column of a file, None if nothing is; `others` are undeclared."""
    names = [name for name, _ in present]
    if names.count(column.name) > 1:
        return "is there more than once: nobody can say which is meant"
    if column.name in names:
        raw_type = dict(present)[column.name]
        return None if raw_type == parquetfile.NULL else refusal(raw_type, column.dtype)
    hint = spelling(column.name, others)
    return _missing(names, hint) if hint or not column.nullable else None


def _missing(names: Sequence[str], hint: str) -> str:
    return f"is missing; the file has {_listed(names)}.{hint}".rstrip(".")


def _listed(names: Sequence[str]) -> str:
    """Return names for a person, as many as can be read and as much of each."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(name[:_LETTERS] for name in names[:_SHOWN]) or 'no column'}{more}"


def schema(columns: Sequence[Column], types: Sequence[str | None]) -> str:
    """Return the raw rows' schema as Spark writes it; what a file lacks is text, all null."""
    fields = ", ".join(
        f"`{column.name}` {'string' if raw_type in (None, 'binary') else raw_type}"
        for column, raw_type in zip(columns, types, strict=True)
    )
    marks = ", ".join(f"`{name}` string" for name in (CORRUPT_RECORD, UNREADABLE, SOURCE_FILE))
    return f"`{DS}` date, {fields}, {marks}"


def read(piece: Piece, names: Sequence[str], target: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a piece in the columns of `target`: `names` between ds and the marks.

    `names` are those of the file; a column may be called otherwise in `target`, where its place is
    the same.

    A file that cannot be read to its end yields, last, a row that says so in `_unreadable`: what
    came before it is no whole day, and the day is refused for it.
    """
    import pyarrow as pa

    path = Path(piece.path)
    types = dict(zip(names, target.types[1:], strict=False))
    try:
        if piece.format == "csv":
            batches = csvfile.batches(path, piece.delimiter, names)
        else:
            batches = parquetfile.batches(path, piece.part, types)
        for columns, corrupt in batches:
            yield _batch(piece, columns, corrupt, None, target)
    except SourceCorrupt as error:
        nothing = [pa.nulls(1, kind) for kind in types.values()]
        yield _batch(piece, nothing, pa.nulls(1, pa.string()), str(error), target)


def _batch(
    piece: Piece,
    columns: Sequence[pa.Array],
    corrupt: pa.Array,
    unreadable: str | None,
    target: pa.Schema,
) -> pa.RecordBatch:
    import pyarrow as pa

    rows = len(corrupt)
    return pa.RecordBatch.from_arrays(
        [
            pa.repeat(pa.scalar(piece.day, pa.date32()), rows),
            *columns,
            corrupt,
            pa.repeat(pa.scalar(unreadable, pa.string()), rows),
            pa.repeat(pa.scalar(piece.path, pa.string()), rows),
        ],
        schema=target,
    )
