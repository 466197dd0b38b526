"""Reads files once, as a pipeline would, and keeps facts and some rows: never more than so many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import SourceCorrupt, UsageError
from feature_store.raw import MAY_BECOME, family
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.daycache import AGAIN
from feature_store.sources.instants import days_of
from jobs.init.forms import FORMS, forms_of, marks_of, numbers_of
from jobs.init.layout import Layout, lay_out
from jobs.init.table import DS, ColumnLook, Table

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 200_000
_LEAST_OF_A_FILE = 200
_MOST_VALUES = 50_000
"""Values that are told apart; of more it is known only that there are more."""
_COUNTED = 64
_EXAMPLES, _LETTERS = 3, 40
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
    import pyarrow as pa

    is_csv = layout.format == "csv"
    delimiter = _delimiter(layout.files[0]) if is_csv else ","
    types = _csv_types(layout.files, delimiter) if is_csv else _parquet_types(layout.files)
    read = {name: _target(raw) for name, raw in types.items() if family(raw) in _READ}
    found = {name: _Facts(name=name, raw=types[name]) for name in read}
    share = max(SAMPLE_ROWS // len(layout.files), _LEAST_OF_A_FILE)
    schema = pa.schema([*read.items(), (DS, pa.date32())])
    kept: list[pa.RecordBatch] = []
    rows = broken = 0
    first_broken = ""
    for path, day in zip(layout.files, layout.days, strict=True):
        room = min(share, SAMPLE_ROWS - sum(batch.num_rows for batch in kept))
        for columns, problems in _batches(path, delimiter, is_csv, read):
            if problems.null_count < len(problems):
                bad = problems.drop_null()
                broken += len(bad)
                first_broken = first_broken or f"file {path}: {bad[0].as_py()}"
                columns = [column.filter(problems.is_null()) for column in columns]
            count = problems.null_count
            rows += count
            for facts, values in zip(found.values(), columns, strict=True):
                facts.add(values)
            if room > 0 and count:
                ds = pa.repeat(pa.scalar(day, pa.date32()), count)
                batch = pa.RecordBatch.from_arrays([*columns, ds], schema=schema).slice(0, room)
                kept.append(batch)
                room -= batch.num_rows
    unread = [
        ColumnLook(name=name, raw=raw, rows=rows, nulls=0, distinct=0)
        for name, raw in types.items()
        if name not in read
    ]
    return Table(
        layout=layout,
        delimiter=delimiter,
        rows=rows,
        columns=(*(facts.told(rows) for facts in found.values()), *unread),
        sample=pa.Table.from_batches(kept, schema),
        broken=broken,
        first_broken=first_broken,
    )


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


@dataclass(kw_only=True, slots=True)
class _Facts:
    """What is known of a column so far."""

    name: str
    raw: str
    nulls: int = 0
    values: set[Any] = field(default_factory=set)
    is_exact: bool = True
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    is_number: bool = True
    is_whole: bool = True
    forms: Counter[str] = field(default_factory=Counter)
    days: list[date] = field(default_factory=list)
    untold: int = 0
    words: set[str] = field(default_factory=set)
    letters: int = 0
    spaces: int = 0

    def add(self, values: pa.Array) -> None:
        """Take in the values of a batch."""
        import pyarrow as pa

        self.nulls += values.null_count
        told = values.drop_null().value_counts()
        values, counts = told.field("values"), told.field("counts")
        if not len(values):
            return
        self._tell_apart(values, counts)
        if pa.types.is_string(values.type):
            self._add_text(values, counts)
        elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            self._add_numbers(values)
        else:
            self.is_number = False
            if not pa.types.is_boolean(values.type):
                self._add_days(values, counts)

    def told(self, rows: int) -> ColumnLook:
        """Return what is known, of a table of so many rows."""
        forms, words = dict(self.forms), self._null_words(rows - self.nulls)
        nulls = self.nulls + (forms.pop("mark", 0) if words else 0)
        filled = rows - nulls
        low, high = (min(self.limits), max(self.limits)) if self.limits else (None, None)
        is_number = self.is_number and low is not None
        counts = {v: n for v, n in self.counts.items() if v not in words}
        return ColumnLook(
            name=self.name,
            raw=self.raw,
            rows=rows,
            nulls=nulls,
            distinct=len(self.values - words),
            is_exact=self.is_exact,
            counts=counts if len(self.values) <= _COUNTED else {},
            examples=tuple(value for value in self.examples if value not in words)[:_EXAMPLES],
            minimum=low if is_number else None,
            maximum=high if is_number else None,
            is_whole=is_number and self.is_whole,
            forms=forms,
            first=min(self.days, default=None),
            last=max(self.days, default=None),
            untold=self.untold,
            words=tuple(sorted(words)),
            mean_letters=self.letters / filled if filled else 0.0,
            mean_words=self.spaces / filled + 1 if filled else 0.0,
        )

    def _null_words(self, filled: int) -> set[str]:
        """Return the words that stand for a null, where all other values are of one form."""
        marks = self.forms.get("mark", 0)
        kinds = [self.forms.get(form, 0) for form in ("number", "truth")]
        kinds.append(self.forms.get("time", 0) + self.forms.get("day", 0))
        return self.words if marks and filled - marks in kinds and filled > marks else set()

    def _tell_apart(self, values: pa.Array, counts: pa.Array) -> None:
        if not self.is_exact:
            return
        for value, count in zip(values.to_pylist(), counts.to_pylist(), strict=True):
            if value in self.values or len(self.values) < _MOST_VALUES:
                self.values.add(value)
            else:
                self.is_exact = False
            if str(value) in self.counts or len(self.counts) <= _COUNTED:
                self.counts[str(value)] += count
            if len(self.examples) <= _EXAMPLES and str(value)[:_LETTERS] not in self.examples:
                self.examples.append(str(value)[:_LETTERS])

    def _add_text(self, values: pa.Array, counts: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        rows, forms = pc.sum(counts).as_py(), forms_of(values, counts)
        self.forms.update(forms)
        self.letters += pc.sum(pc.multiply(pc.utf8_length(values), counts)).as_py()
        self.spaces += pc.sum(pc.multiply(pc.count_substring(values, " "), counts)).as_py()
        if forms.get("mark"):
            words = marks_of(values)
            self.words.update(words)
            is_other = pc.invert(pc.is_in(values, pa.array(words)))
            values, counts = values.filter(is_other), counts.filter(is_other)
            rows -= forms["mark"]
        if not rows:
            return
        if forms.get("time", 0) + forms.get("day", 0) == rows:
            self._add_days(values, counts)
        if self.is_number and forms.get("number", 0) == rows:
            self._limit(numbers_of(values))
            self.is_whole = self.is_whole and forms.get("whole", 0) == rows
        else:
            self.is_number = False

    def _add_days(self, values: pa.Array, counts: pa.Array) -> None:
        import pyarrow.compute as pc

        days = days_of(values, None)
        self.untold += pc.sum(counts.filter(days.is_null())).as_py() or 0
        limits = pc.min_max(days).as_py()
        self.days = [day for day in (*self.days, *limits.values()) if day is not None]
        self.days = [min(self.days), max(self.days)] if self.days else []

    def _add_numbers(self, numbers: pa.Array) -> None:
        import numpy as np
        import pyarrow as pa

        self._limit(numbers)
        if pa.types.is_floating(numbers.type):
            found = np.asarray(numbers)
            self.is_whole = self.is_whole and bool(np.all(np.floor(found) == found))

    def _limit(self, numbers: pa.Array) -> None:
        import pyarrow.compute as pc

        limits = pc.min_max(numbers).as_py()
        self.limits = [
            min([limits["min"], *self.limits[:1]]),
            max([limits["max"], *self.limits[1:]]),
        ]
