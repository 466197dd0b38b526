"""A delivered CSV file, read strictly: a line that cannot be split, or is not UTF-8, is marked.

Values are text. An empty one is null, quoted or not; blanks stay. Lines end in LF, CRLF or CR; a
quoted value may hold any of them, the delimiter, and a quote written twice.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from feature_store.errors import SourceCorrupt
from feature_store.sources.daycache import AGAIN, open_bytes

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
LONGEST_VALUE = 1 << 20
"""Characters of a value. A quote that is never closed takes in no more than this."""


_OTHERS = {
    codecs.BOM_UTF16_LE: "UTF-16. CSV must be UTF-8",
    codecs.BOM_UTF16_BE: "UTF-16. CSV must be UTF-8",
    b"\x1f\x8b": "gzip by its first bytes: such a file is read if its name ends in .gz",
    b"PK\x03\x04": "a zip by its first bytes: such a file is read if its name ends in .zip",
    b"PAR1": "Parquet by its first bytes, and the source is declared to be CSV",
}
"""How files begin that are often taken for CSV, and what to say of them."""


def require_delimiter(source: str, delimiter: str) -> None:
    """Do nothing if a source's delimiter can stand between values.

    Raises:
        ValueError: it cannot.
    """
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise ValueError(
            f"{source}.delimiter={delimiter!r}: must be one character, not a quote or an end of "
            "line"
        )


def header(path: Path, delimiter: str) -> list[str]:
    """Return the column names of a file.

    Raises:
        SourceCorrupt: it is empty, unreadable, or its first line is no header.
    """
    with open_bytes(path) as stream:
        start = stream.read(4)
    other = next((kind for magic, kind in _OTHERS.items() if start.startswith(magic)), None)
    if other:
        raise SourceCorrupt(f"source file {path}: is {other}. {AGAIN}")
    with open_bytes(path) as stream:
        lines = _Lines(_text(stream))
        try:
            names = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise SourceCorrupt(f"source file {path}: line 1: {error}. {AGAIN}") from error
    problem = next(filter(None, map(_unfit, lines.taken)), None)
    if problem:
        raise SourceCorrupt(f"source file {path}: line 1: {problem}. {AGAIN}")
    if not any(names):
        raise SourceCorrupt(
            f"source file {path}: is empty: it must begin with a line that names the columns. "
            f"{AGAIN}"
        )
    return names


def batches(
    path: Path, delimiter: str, names: Sequence[str]
) -> Iterator[tuple[list[pa.Array], pa.Array]]:
    """Yield the columns `names` as text, and beside them what is wrong with a row (null: nothing).

    Of a record that is wrong each line is a row: a quote that opens by mistake takes in the lines
    after it, and as many are told of.

    Raises:
        SourceCorrupt: the file cannot be read to its end.
    """
    import pyarrow as pa

    present = header(path, delimiter)
    places = [present.index(name) if name in present else None for name in names]
    nothing = (None,) * len(names)
    for records in _chunks(path, delimiter, len(present)):
        values = [
            nothing if bad else [None if p is None else (record[p] or None) for p in places]
            for record, bad in records
        ]
        columns = [pa.array(column, pa.string()) for column in zip(*values, strict=True)]
        yield columns, pa.array([bad for _, bad in records], pa.string())


_Record = tuple[Sequence[str], str | None]


def _chunks(path: Path, delimiter: str, width: int) -> Iterator[list[_Record]]:
    chunk: list[_Record] = []
    for record in _records(path, delimiter, width):
        chunk.append(record)
        if len(chunk) >= BATCH_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _records(path: Path, delimiter: str, width: int) -> Iterator[_Record]:
    """Yield (values, None), or for each line of a record that is wrong ((), what is wrong)."""
    csv.field_size_limit(LONGEST_VALUE)
    with open_bytes(path) as stream:
        lines = _Lines(_text(stream))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        next(reader)
        while True:
            first, lines.taken = lines.count + 1, []
            try:
                values = next(reader, None)
                problem = None
            except csv.Error as error:
                values, problem = [], f"not CSV ({error})"
            if values is None:
                return
            if problem is None and not values:
                continue  # an empty line
            if problem is None and len(values) != width:
                problem = f"{len(values)} values, the header has {width}"
            problem = next(filter(None, map(_unfit, lines.taken)), problem)
            if problem is None:
                yield values, None
                continue
            for number, line in enumerate(lines.taken, start=first):
                shown = line.rstrip("\r\n").encode("utf-8", "surrogateescape")
                yield (), f"line {number}: {problem}: {shown.decode('utf-8', 'backslashreplace')}"


def _unfit(line: str) -> str | None:
    """Return why a line is not text, None if it is."""
    if "\0" in line:
        return "holds a zero byte"
    if line.isascii():
        return None
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return "not UTF-8"
    return None


def _text(stream: IO[bytes]) -> io.TextIOWrapper:
    """Return the text of a stream; a byte that is not UTF-8 is kept, so that it can be told."""
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a file; `taken` holds those that were read since it was last emptied."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.taken: list[str] = []
        self.count = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.taken.append(line)
        self.count += 1
        return line
