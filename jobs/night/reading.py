"""What a reader of a day of a table reads of it: the parts that are digested apart.

A day is often delivered again with its outcomes. Its features read nothing of those, and the
histories of later days only from the day after they were known: so neither becomes stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import json_digest
from feature_store.events.versions import EARLIER, UNTIL
from feature_store.features.features import known_in_time
from feature_store.features.side_rows import side_rows, usable_from
from feature_store.schema import EVENTS, TILES, stream_table
from feature_store.tables.content import ALL, PART, WHOLE, Content, by_day, usable_parts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Lookup, Stream

KNOWN = "known"
"""The part of events that was known before the cut-off of their own day."""
LOOKED_UP = "looked up"
"""All parts of events that lookups read: of each by the day from which it is usable."""

_EXACT_TIMES = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}


def content_of(definition: Definition, table: str) -> Content:
    """Return how the rows of a table are split into parts that this pipeline reads."""
    for stream in definition.all_streams:
        if table == stream_table(stream.name, EVENTS):
            return _events(stream, definition.cutoff_hours, definition.lookups_in(stream))
        if table == stream_table(stream.name, TILES):
            return by_day("history, usable_from", "usable_from", of="history")
    return WHOLE


def _events(stream: Stream, cutoff_hours: int, lookups: Sequence[Lookup]) -> Content:
    """Return the split of events into all there is, what was known in time, and what is looked up.

    The last for each lookup by itself: of a version what is taken of it, by the day from which it
    may be. When a version ends needs no place, for with that day the next one begins.
    """
    told = [stream.knowledge, cutoff_hours, stream.types]
    rule = json_digest([*told, [lookup.read for lookup in lookups]] if lookups else told)

    def split(rows: DataFrame) -> DataFrame:
        # A day of an older definition may lack a column that says since when others are known.
        lacking = [c for c in stream.columns if c.name not in rows.columns]
        full = rows.withColumns({c.name: F.lit(None).cast(c.dtype) for c in lacking})
        whole = full.withColumn(PART, F.lit(ALL))
        if EARLIER in full.columns:
            # As text that names its fields: a hash of structs passes over what is null in them.
            whole = whole.withColumn(EARLIER, F.to_json(EARLIER, _EXACT_TIMES))
        known = known_in_time(full, stream, cutoff_hours).withColumn(PART, F.lit(KNOWN))
        frames = [whole, known]
        for lookup in lookups:
            part = usable_parts(F.expr(usable_from(cutoff_hours)), F.lit(lookup.name))
            frames.append(side_rows(full, lookup).withColumn(PART, part).drop(UNTIL))
        return reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), frames)

    return Content(rule=rule, split=split)
