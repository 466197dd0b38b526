"""Reads files once, as a pipeline would, and keeps facts and some rows: never more than so many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.errors import SourceCorrupt, UsageError
from feature_store.raw import MAY_BECOME, family
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.daycache import AGAIN
from jobs.init.facts import Facts
from jobs.init.forms import FORMS
from jobs.init.layout import Layout, lay_out
from jobs.init.table import DS, ColumnLook, Table

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 200_000
_SAMPLE_BYTES = 256 << 20
_LEAST_OF_A_FILE = 200
_DELIMITERS = ",;\t|"
_DATA = re.compile("|".join(f"(?:{FORMS[form]})" for form in ("number", "day", "time")))
_NEXT = "Correct it, then run nightscore init again"


def look(paths: Sequence[str | Path]) -> Table:
    """Return what is seen of the files of one table.

    Args:
        paths: files, folders of them or patterns; each of CSV, or each of Parquet.

    Raises:
        UsageError: a file is no table: it says which, of what column or line, and what to do.
    """
    layout = lay_out(paths)
    try:
        return _look(layout)
    except SourceCorrupt as error:
        said = str(error).removesuffix(AGAIN).removeprefix("source ").rstrip()
        raise UsageError(f"{said} {_NEXT}") from error


def look_at_each(paths: Sequence[str | Path]) -> list[Table]:
    """Return what is seen of each table: files that hold the same columns are one.

    So are the files of a folder, or of a pattern, that say their day in their path.

    Raises:
        UsageError: as `look`.
    """
    groups: dict[tuple[str, ...], list[str | Path]] = {}
    for path in paths:
        layout = lay_out([path])
        alike: dict[tuple[str, ...], list[Path]] = {}
        for file in layout.files if layout.pattern is None else layout.files[:1]:
            alike.setdefault(_columns_of(file), []).append(file)
        is_one = len(alike) == 1
        for columns, files in alike.items():
            groups.setdefault(columns, []).extend([path] if is_one else files)
    return [look(group) for group in groups.values()]


def _columns_of(file: Path) -> tuple[str, ...]:
    """Return what a file holds; one that cannot be read is like no other, and told of later."""
    try:
        if file.suffix == ".parquet":
            return tuple(sorted(name for name, _ in parquetfile.types(file)))
        return tuple(sorted(csvfile.header(file, _delimiter(file))))
    except SourceCorrupt:
        return (str(file),)


def _look(layout: Layout) -> Table:
    is_csv = layout.format == "csv"
    delimiter = _delimiter(layout.files[0]) if is_csv else ","
    types = _csv_types(layout.files, delimiter) if is_csv else _parquet_types(layout.files)
    read = {name: _target(raw) for name, raw in types.items() if family(raw) in _READ}
    seen = _Reading(facts=[Facts(name=name, raw=types[name]) for name in read])
    share = max(SAMPLE_ROWS // len(layout.files), _LEAST_OF_A_FILE)
    for path, day in zip(layout.files, layout.days, strict=True):
        seen.room = min(share, SAMPLE_ROWS - sum(batch.num_rows for batch in seen.kept))
        for columns, problems in _batches(path, delimiter, is_csv, read):
            seen.add(path, day, columns, problems)
    unread = [
        ColumnLook(name=name, raw=raw, rows=seen.rows, nulls=0, distinct=0)
        for name, raw in types.items()
        if name not in read
    ]
    return Table(
        layout=layout,
        delimiter=delimiter,
        rows=seen.rows,
        columns=(*(facts.told(seen.rows) for facts in seen.facts), *unread),
        sample=seen.sample(read),
        broken=seen.broken,
        first_broken=seen.first_broken,
    )


@dataclass(kw_only=True, slots=True)
class _Reading:
    """What was read of all files so far."""

    facts: list[Facts]
    rows: int = 0
    broken: int = 0
    first_broken: str = ""
    room: int = 0
    """Rows of the file that may still be kept."""
    kept: list[pa.RecordBatch] = field(default_factory=list)
    kept_bytes: int = 0

    def add(
        self, path: Path, day: date | None, columns: Sequence[pa.Array], problems: pa.Array
    ) -> None:
        """Take in a batch; of lines that cannot be read only their number, and the first."""
        import pyarrow as pa

        bad, count = problems.drop_null(), problems.null_count
        if len(bad):
            self.broken += len(bad)
            self.first_broken = self.first_broken or f"file {path}: {bad[0].as_py()}"
            columns = [column.filter(problems.is_null()) for column in columns]
        self.rows += count
        for facts, values in zip(self.facts, columns, strict=True):
            facts.add(values)
        if self.room > 0 and count and self.kept_bytes < _SAMPLE_BYTES:
            ds = pa.repeat(pa.scalar(day, pa.date32()), count)
            names = [*(facts.name for facts in self.facts), DS]
            batch = pa.RecordBatch.from_arrays([*columns, ds], names).slice(0, self.room)
            self.kept.append(batch)
            self.kept_bytes += batch.nbytes
            self.room -= batch.num_rows

    def sample(self, read: Mapping[str, pa.DataType]) -> pa.Table:
        """Return the rows that were kept."""
        import pyarrow as pa

        schema = pa.schema([*read.items(), (DS, pa.date32())])
        return pa.Table.from_batches(self.kept, schema)


def _batches(
    path: Path, delimiter: str, is_csv: bool, read: dict[str, pa.DataType]
) -> Iterator[tuple[list[pa.Array], pa.Array]]:
    if is_csv:
        return csvfile.batches(path, delimiter, list(read))
    return parquetfile.batches(path, None, read)


def _delimiter(path: Path) -> str:
    """Return what stands between the names of the header."""
    found = {}
    for sign in _DELIMITERS:
        try:
            found[sign] = len(csvfile.header(path, sign))
        except SourceCorrupt as error:
            if len(found) == 0 and sign == _DELIMITERS[-1]:
                raise error from None
    return max(found, key=lambda sign: found[sign])


def _csv_types(files: Sequence[Path], delimiter: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in files:
        names = csvfile.header(path, delimiter)
        _require_header(path, names)
        found |= dict.fromkeys(names, "string")
    return found


def _require_header(path: Path, names: Sequence[str]) -> None:
    data = next((name for name in names if _DATA.match(name)), None)
    if data is not None:
        raise UsageError(
            f"file {path}: column {data!r}: the first line seems to hold values, not names. Write "
            "a line before it that names the columns, then run nightscore init again"
        )
    _require_single(path, names)


def _require_single(path: Path, names: Sequence[str]) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UsageError(
            f"file {path}: column {twice!r} is there more than once: nobody can say which is "
            "meant. Rename one of them, then run nightscore init again"
        )


def _parquet_types(files: Sequence[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in files:
        types = parquetfile.types(path)
        _require_single(path, [name for name, _ in types])
        for name, raw in types:
            found[name] = _common(found.get(name, raw), raw)
    if not found:
        raise UsageError(f"file {files[0]}: has no column. {_NEXT}")
    return found


def _common(one: str, other: str) -> str:
    """Return the type as which two files' columns of one name are read together."""
    if one == other or other == parquetfile.NULL:
        return one
    if one == parquetfile.NULL:
        return other
    kinds = {family(one), family(other)}
    return "double" if kinds <= {"bigint", "float", "double", "decimal"} else "string"


_READ = {*MAY_BECOME, parquetfile.NULL}


def _target(raw: str) -> pa.DataType:
    """Return the Arrow type as which a raw type is looked at."""
    import pyarrow as pa

    if raw.startswith("decimal"):
        return pa.string() if raw.endswith(",0)") else pa.float64()
    return {
        "bigint": pa.int64(),
        "float": pa.float64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }.get(raw, pa.string())
