"""The rows of a small local Delta table without Spark, which needs seconds for its first job."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from feature_store.tables.damage import damaged_table

if TYPE_CHECKING:
    import pyarrow as pa

    from feature_store.tables.storage import Storage

_LOG_FILE = re.compile(r"(\d{20})\.(json|checkpoint.*\.parquet)\Z")


def read_rows(storage: Storage, location: str, what: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table that has no partitions, as it is now.

    Args:
        storage: where it lies.
        location: its folder.
        what: its name, for the error.

    Raises:
        TableDamaged: a file of it is gone or broken.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for path in active_files(storage, location):
            file = path if "://" in path else f"{location}/{path}"
            # Spark writes its old times, which alone would be nanoseconds.
            table = pq.read_table(io.BytesIO(storage.read(file)), coerce_int96_timestamp_unit="us")
            yield from (_utc(row) for row in table.to_pylist())
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise damaged_table(f"{what} at {location}", str(error)) from error


def _utc(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its times marked as the UTC that they are."""
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def active_files(storage: Storage, location: str) -> list[str]:
    """Return the paths of the data files that the newest version of a table is made of."""
    folder = f"{location}/_delta_log"
    found: dict[bool, dict[int, list[str]]] = {True: {}, False: {}}
    for match in filter(None, map(_LOG_FILE.match, storage.names(folder))):
        is_checkpoint = match.group(2) != "json"
        found[is_checkpoint].setdefault(int(match.group(1)), []).append(match.string)
    start = max(found[True], default=-1)
    paths: dict[str, None] = {}
    for name in found[True].get(start, []):
        paths |= dict.fromkeys(_added(storage.read(f"{folder}/{name}")))
    for version in sorted(v for v in found[False] if v > start):
        text = storage.read(f"{folder}/{version:020d}.json").decode()
        for action in map(json.loads, filter(None, text.split("\n"))):
            if "add" in action:
                paths[unquote(action["add"]["path"])] = None
            elif "remove" in action:
                paths.pop(unquote(action["remove"]["path"]), None)
    return list(paths)


def _added(checkpoint: bytes) -> list[str]:
    import pyarrow.parquet as pq

    table: pa.Table = pq.ParquetFile(io.BytesIO(checkpoint)).read(columns=["add.path"])
    return [unquote(row["path"]) for row in table["add"].to_pylist() if row and row.get("path")]
