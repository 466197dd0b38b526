"""The rows of a stream as a lookup takes them: since when each counts, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.events.versions import SINCE, UNTIL, every_version
from feature_store.features.values import last_known
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Lookup

EVENT_TIME, KNOWN_AT, VALID_UNTIL = "_event_time", "_known_at", "_valid_until"


def side_rows(events_df: DataFrame, lookup: Lookup) -> DataFrame:
    """Return what a lookup may take of events, a row for each version of them.

    Columns: ds, what it is found by, what is taken, `_event_time`, `_valid_until` where the lookup
    has it, `_known_at` (when the last of all these became known), `_since` and `_until`: what a row
    takes at a cut-off was known before it, and is of the version that counts then, since before it
    and not until before it.

    A version of which something is not known yet is none.
    """
    stream = lookup.stream
    ends = [] if lookup.valid_until is None else [F.col(lookup.valid_until).cast("timestamp")]
    event_time = stream.column(stream.event_time)
    known_at = last_known(stream, event_time.known, lookup.read_columns)
    return (
        every_version(events_df, stream)
        .where(known_at.isNotNull())
        .select(
            DS,
            *lookup.found_by,
            *lookup.columns,
            F.col(event_time.name).cast("timestamp").alias(EVENT_TIME),
            *[end.alias(VALID_UNTIL) for end in ends],
            known_at.alias(KNOWN_AT),
            SINCE,
            UNTIL,
        )
    )


def usable_from(cutoff_hours: int) -> str:
    """Return the first day at whose cut-off a version counts, an expression over `side_rows`."""
    known = f"greatest({KNOWN_AT}, coalesce({SINCE}, {KNOWN_AT}))"
    return f"date_add(CAST({known} - INTERVAL {cutoff_hours} HOURS AS DATE), 1)"
