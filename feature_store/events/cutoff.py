"""The instant before which a value must be known, as a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column


def cutoff_column(cutoff_hours: int) -> Column:
    """Return the cut-off instant of a row's `ds` (session time zone UTC)."""
    hours = F.expr(f"INTERVAL {cutoff_hours} HOURS")
    return F.col(DS).cast("timestamp") + hours
