"""A delivered Parquet file: the columns that are asked for, by exact name, as Spark's raw types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import SourceCorrupt
from feature_store.sources.daycache import AGAIN

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

NULL = "null"
"""The raw type of a column that holds nothing but nulls, and so has none."""

_BATCH_ROWS = 16_384
_PIECE_BYTES = 64 << 20
_EXTENSION = b"ARROW:extension:name"
_FIRST, _LAST = "0001-01-01", "9999-12-31"


def types(path: Path) -> list[tuple[str, str]]:
    """Return (name, raw type) of each top column; a type that nobody takes has its own name.

    Raises:
        SourceCorrupt: the file is not readable Parquet.
    """
    schema = _open(path).schema_arrow
    return [(field.name, _spark_type(field)) for field in schema]


def parts(path: Path) -> list[tuple[int, int] | None]:
    """Return the row groups of a file in pieces of about 64 MB, so that tasks share a large one."""
    groups = _open(path).metadata.num_row_groups
    size = path.stat().st_size
    if groups < 2 or size <= _PIECE_BYTES:
        return [None]
    step = max(1, groups * _PIECE_BYTES // size)
    return [(start, min(start + step, groups)) for start in range(0, groups, step)]


def rows(path: Path) -> int:
    """Return the number of rows that the footer tells of."""
    return int(_open(path).metadata.num_rows)


def batches(
    path: Path, part: tuple[int, int] | None, target: Mapping[str, pa.DataType]
) -> Iterator[tuple[list[pa.Array], pa.Array]]:
    """Yield the columns of `target` in its types, and what is wrong with a row.

    Wrong is text that is not UTF-8 and a time outside the years 1 to 9999.

    Raises:
        SourceCorrupt: the file cannot be read to its end.
    """
    import pyarrow as pa

    file = _open(path)
    wanted = [name for name in target if name in file.schema_arrow.names]
    groups = list(range(*(part or (0, file.metadata.num_row_groups))))
    try:
        for batch in file.iter_batches(_BATCH_ROWS, row_groups=groups, columns=wanted):
            problems: list[str | None] = [None] * batch.num_rows
            columns = [
                _column(batch, name, kind, problems)
                if name in wanted
                else pa.nulls(batch.num_rows, kind)
                for name, kind in target.items()
            ]
            yield columns, pa.array(problems, pa.string())
    except (pa.ArrowException, OSError) as error:
        raise SourceCorrupt(_unreadable(path, error)) from error


def _column(
    batch: pa.RecordBatch, name: str, target: pa.DataType, problems: list[str | None]
) -> pa.Array:
    """Return a column in its raw type; what cannot be is null there and told in `problems`."""
    import pyarrow as pa

    values = batch.column(batch.schema.get_field_index(name))
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    if pa.types.is_string(target):
        return _text(values, name, problems)
    if pa.types.is_timestamp(values.type):
        return _instants(values, name, target, problems)
    if pa.types.is_date(values.type):
        return _days(values.cast(target), name, problems)
    return values.cast(target)


def _text(values: pa.Array, name: str, problems: list[str | None]) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_null(values.type):
        return values.cast(pa.string())
    try:
        text = values.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowInvalid:
        return pa.array(_checked(values, name, problems), pa.string())
    return text


def _checked(values: pa.Array, name: str, problems: list[str | None]) -> Iterator[str | None]:
    """Yield each value as text; one that is not UTF-8 is null, and told."""
    import pyarrow as pa

    is_large = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    for row, value in enumerate(values.cast(pa.large_binary() if is_large else pa.binary())):
        raw = value.as_py()
        try:
            yield None if raw is None else raw.decode("utf-8")
        except UnicodeDecodeError:
            shown = raw.decode("utf-8", "backslashreplace")
            problems[row] = f"column {name} is not UTF-8: {shown}"
            yield None


def _instants(
    values: pa.Array, name: str, target: pa.DataType, problems: list[str | None]
) -> pa.Array:
    """Return microseconds, what is finer cut off; a time without a zone is UTC."""
    import numpy as np
    import pyarrow as pa

    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
    is_null = values.is_null().to_numpy(zero_copy_only=False)
    # A null has any number beneath it.
    counts = np.where(is_null, 0, np.asarray(values.cast(pa.int64()).fill_null(0)))
    seconds = counts // per_second
    beyond = _outside(seconds // 86_400)
    for row in np.flatnonzero(beyond):
        problems[row] = _told(name, counts[row], values.type.unit)
    counts = np.where(beyond, 0, counts)
    if per_second > 10**6:
        micros = counts // (per_second // 10**6)
    else:
        micros = counts * (10**6 // per_second)
    return pa.array(micros, mask=is_null | beyond).cast(target)


def _days(values: pa.Array, name: str, problems: list[str | None]) -> pa.Array:
    """Return days, those that no calendar of Python, pandas or Spark shares as null."""
    import numpy as np
    import pyarrow as pa

    counts = np.asarray(values.cast(pa.int32()).fill_null(0))
    beyond = _outside(counts)
    for row in np.flatnonzero(beyond):
        problems[row] = _told(name, counts[row], "days")
    is_null = values.is_null().to_numpy(zero_copy_only=False)
    return pa.array(counts, mask=is_null | beyond).cast(values.type)


def _outside(days: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return which days, counted from 1970, lie outside the years 1 to 9999."""
    import numpy as np

    first, last = (int(np.datetime64(day, "D").astype(np.int64)) for day in (_FIRST, _LAST))
    return (days < first) | (days > last)


def _told(name: str, count: int, unit: str) -> str:
    return f"column {name} is outside the years 1 to 9999: {count} {unit} since 1970"


def _spark_type(field: pa.Field) -> str:
    import pyarrow as pa

    kind, is_a = field.type, pa.types
    if isinstance(kind, pa.BaseExtensionType) or _EXTENSION in (field.metadata or {}):
        return f"an extension type ({kind})"
    if is_a.is_dictionary(kind):
        return _spark_type(pa.field(field.name, kind.value_type))
    if is_a.is_decimal(kind):
        fits = kind.precision <= 38 and 0 <= kind.scale <= kind.precision
        return f"decimal({kind.precision},{kind.scale})" if fits else str(kind)
    if is_a.is_uint64(kind):
        return "decimal(20,0)"
    if is_a.is_integer(kind):
        return "bigint"
    if is_a.is_timestamp(kind):
        return "timestamp"
    return _NAMES.get(str(kind), str(kind))


_NAMES = {
    "string": "string",
    "large_string": "string",
    "binary": "binary",
    "large_binary": "binary",
    "bool": "boolean",
    "halffloat": "float",
    "float": "float",
    "double": "double",
    "date32[day]": "date",
    "date64[ms]": "date",
    "null": NULL,
}
"""Arrow's names of the plain types; any other keeps its own, and no declared type takes it."""


def _open(path: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # The old type of Spark and Hive reaches beyond nanoseconds, and would come round again.
        return pq.ParquetFile(path, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError) as error:
        raise SourceCorrupt(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    said: Any = str(error).splitlines() or [type(error).__name__]
    return f"source file {path}: is not a readable Parquet file ({said[0]}). {AGAIN}"
