"""Which days the rows of one file are of: a digest per day, found once for each content of a file.

A row counts by what its columns hold, in the order of the file, so that a day's digest is the same
whatever rows of other days stand between its own. Losing what is remembered costs time, never a
result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.definition import Column
from feature_store.sources import csvfile, daycache, parquetfile
from feature_store.sources.astext import names_as_text
from feature_store.sources.instants import Unit, days_of
from feature_store.sources.readers import Format, raw_types

if TYPE_CHECKING:
    import pyarrow as pa

_FORM = "1"
"""Raised when rows are digested differently, so that no stored digest is used again."""
_SHOWN = 200
"""Characters of a row that is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How a file is read, and what in it says the day of a row."""

    format: Format
    delimiter: str
    column: str
    unit: Unit | None

    @property
    def wanted(self) -> Column:
        """The column that says the day, of a type that only those of its kind may become."""
        dtype = "date" if self.unit is None else "double"
        return Column(name=self.column, dtype=dtype, known="", nullable=False)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True, slots=True)
class DayIndex:
    """What one file holds."""

    days: Mapping[date, str]
    """A digest of the rows of each day."""
    undated: int = 0
    """Rows of which no day can be told."""
    example: str = ""
    """The first of them: where it stands, and what is there."""


@lru_cache(maxsize=4096)
def day_index(path: Path, digest: str, reading: Reading) -> DayIndex:
    """Return the days of a file, from the cache if its content was read that way before.

    Args:
        path: the file.
        digest: that of its content.
        reading: how it is read.

    Raises:
        SourceCorrupt: it cannot be read to its end, or its day column is missing or of a type that
            says no day.
    """
    named = [_FORM, reading.format, reading.delimiter, reading.column, reading.unit]
    how = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    cache = daycache.cache_root() / "undated" / f"{digest[:32]}-{how[:8]}.days.json"

    def write(place: Path) -> None:
        place.write_text(json.dumps(_packed(_found(path, reading))))

    return _unpacked(json.loads(daycache.make_once(cache, write).read_text()))


def _packed(index: DayIndex) -> dict[str, Any]:
    days = {day.isoformat(): digest for day, digest in index.days.items()}
    return {"days": days, "undated": index.undated, "example": index.example}


def _unpacked(data: dict[str, Any]) -> DayIndex:
    days = {date.fromisoformat(day): digest for day, digest in data["days"].items()}
    return DayIndex(days=days, undated=data["undated"], example=data["example"])


def _found(path: Path, reading: Reading) -> DayIndex:
    """Read a file to its end."""
    raw_types(path, None, reading.format, reading.delimiter, [reading.wanted])
    digests: dict[date, hashlib._Hash] = {}
    read = undated = 0
    example = ""
    for days, values, rows, problems in _batches(path, reading):
        none = days.is_null()
        if none.true_count:
            first = none.index(True).as_py()
            example = example or _example(read + first, values[first], problems[first])
            undated += none.true_count
        for day, content in _by_day(days, rows):
            digests.setdefault(day, hashlib.sha256()).update(content)
        read += len(days)
    found = {day: digest.hexdigest() for day, digest in sorted(digests.items())}
    return DayIndex(days=found, undated=undated, example=example)


def _example(row: int, value: pa.Scalar, problem: pa.Scalar) -> str:
    if problem.is_valid:
        return str(problem.as_py())[:_SHOWN]
    return f"row {row + 1:,}: {value.as_py()!r}"[:_SHOWN]


def _batches(
    path: Path, reading: Reading
) -> Iterator[tuple[pa.Array, pa.Array, pa.Array, pa.Array]]:
    """Yield the days, what they are told from, all of each row as text, and what is wrong."""
    import pyarrow as pa

    names = list(dict.fromkeys(names_as_text(path, reading.format, reading.delimiter)))
    place = names.index(reading.column)
    head = pa.scalar(json.dumps(names))
    if reading.format == "csv":
        batches = csvfile.batches(path, reading.delimiter, names)
    else:
        batches = parquetfile.batches(path, None, _targets(path, names, reading.column))
    for columns, problems in batches:
        values = columns[place]
        text = [column.cast(pa.string()) for column in columns]
        yield days_of(values, reading.unit), values, _rows(head, [*text, problems]), problems


def _targets(path: Path, names: list[str], day_column: str) -> dict[str, pa.DataType]:
    """Return every column as text, but the one whose type says the day."""
    import pyarrow as pa

    typed = {
        "bigint": pa.int64(),
        "float": pa.float64(),
        "double": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    of_day = dict(parquetfile.types(path))[day_column]
    return {**dict.fromkeys(names, pa.string()), day_column: typed.get(of_day, pa.string())}


def _rows(head: pa.Scalar, columns: list[pa.Array]) -> pa.Array:
    """Return each row as one text that no other row has: lengths, then values; `-` is a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = [pc.binary_length(c).cast(pa.string()).fill_null("-") for c in columns]
    return pc.binary_join_element_wise(head, *lengths, *(c.fill_null("") for c in columns), ",")


def _by_day(days: pa.Array, rows: pa.Array) -> Iterator[tuple[date, bytes]]:
    """Yield each day with the text of its rows, in their order."""
    import numpy as np
    import pyarrow.compute as pc

    is_told = days.is_valid()
    days, rows = days.filter(is_told), rows.filter(is_told)
    order = pc.sort_indices(days)
    numbers = np.asarray(days.take(order).view("int32"))
    rows = rows.take(order)
    starts: list[int] = np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1)).tolist()
    for start, end in pairwise([*starts, len(numbers)]):
        yield days[order[start].as_py()].as_py(), _bytes(rows.slice(start, end - start))


def _bytes(text: pa.Array) -> bytes:
    """Return the texts of an array one after the other."""
    import numpy as np

    _, offsets, data = text.buffers()
    ends = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    return bytes(data[int(ends[0]) : int(ends[-1])])
