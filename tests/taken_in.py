"""Takes in days as a test needs them: what every step after it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from jobs.context import Context
from jobs.night.deliveries import Ingested
from jobs.night.ingest import ingest_events, ingest_looked_up
from jobs.night.reach import days_to_ingest


def ingest(context: Context, days: Sequence[date]) -> list[Ingested]:
    """Bring the events of `days`, and what lookups read of them, up to date, or raise.

    So are absent days that windows of them read. The days whose delivery is good are written before
    the first bad one is reported.
    """
    stream = context.definition.stream
    assert stream is not None, "rows of a stream are scored"
    read = days_to_ingest(context, stream, days)
    absent = [day for day in read if day in stream.absent_days and day not in days]
    results = [ingest_events(context, stream, [*days, *absent], again=days)]
    results += [
        ingest_looked_up(context, other, days, again=days)
        for other in context.definition.streams
        if context.definition.lookups_in(other)
    ]
    for result in results:
        for _, error in sorted(result.errors.items()):
            raise error
    return results
