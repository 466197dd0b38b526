"""What a reader of a day of a table reads of it: the parts that are digested apart.

A day is often delivered again with its outcomes. Its features read nothing of those, and the
histories of later days only from the day after they were known: so neither becomes stale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import json_digest
from feature_store.events.versions import EARLIER
from feature_store.features.features import known_in_time
from feature_store.schema import EVENTS, TILES, stream_table
from feature_store.tables.content import ALL, PART, WHOLE, Content, by_day

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Stream

KNOWN = "known"
"""The part of events that was known before the cut-off of their own day."""

_EXACT_TIMES = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def content_of(definition: Definition, table: str) -> Content:
    """Return how the rows of a table are split into parts that this pipeline reads."""
    for stream in definition.all_streams:
        if table == stream_table(stream.name, EVENTS):
            return _events(stream, definition.cutoff_hours)
        if table == stream_table(stream.name, TILES):
            return by_day("history, usable_from", "usable_from", of="history")
    if table.startswith("lookup_"):
        return _lookup(definition)
    return WHOLE


def _events(stream: Stream, cutoff_hours: int) -> Content:
    """Return the split of events into all there is and what was known in time."""
    rule = json_digest([stream.knowledge, cutoff_hours, stream.types])

    def split(rows: DataFrame) -> DataFrame:
        # A day of an older definition may lack a column that says since when others are known.
        lacking = [c for c in stream.columns if c.name not in rows.columns]
        full = rows.withColumns({c.name: F.lit(None).cast(c.dtype) for c in lacking})
        whole = full.withColumn(PART, F.lit(ALL))
        if EARLIER in full.columns:
            # As text that names its fields: a hash of structs passes over what is null in them.
            whole = whole.withColumn(EARLIER, F.to_json(EARLIER, _EXACT_TIMES))
        known = known_in_time(full, stream, cutoff_hours).withColumn(PART, F.lit(KNOWN))
        return whole.unionByName(known, allowMissingColumns=True)

    return Content(rule=rule, split=split)


def _lookup(definition: Definition) -> Content:
    hours = definition.cutoff_hours
    usable_from = f"date_add(CAST(known_at - INTERVAL {hours} HOURS AS DATE), 1)"
    return by_day(f"known_at {hours} h", usable_from)
