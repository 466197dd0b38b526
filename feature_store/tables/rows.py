"""Reading rows that Spark collected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import Row


def fields_utc(row: Row) -> dict[str, Any]:
    """Return the fields of a row, its timestamps (given in local time, unmarked) marked as UTC."""
    return {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in row.asDict().items()
    }
