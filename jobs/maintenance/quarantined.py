"""What lies in the quarantine of a stream: how many rows of which reason, and some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.errors import UsageError
from feature_store.events.quarantine import REASON, ROW
from feature_store.events.release import can_be_released
from feature_store.schema import DS, EVENTS, QUARANTINE, RELEASED, SOURCE_FILE, stream_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Stream
    from jobs.context import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """The rows of one reason on one day."""

    ds: date
    reason: str
    rows: int
    events: int
    """Rows of the day that are events."""
    can_be_released: bool
    released: int
    """Rows of the reason that were let in since, whether or not they were taken in yet."""


def stream_of(definition: Definition, name: str) -> Stream:
    """Return a stream that a pipeline reads; without a name the one whose rows it scores.

    Raises:
        UsageError: it reads none of that name, or scores no rows that are delivered.
    """
    streams = {stream.name: stream for stream in definition.all_streams}
    if not name and definition.stream is not None:
        return definition.stream
    if name not in streams:
        raise UsageError(
            f"--stream={name!r}: {definition.name} reads {', '.join(sorted(streams))}: name one"
        )
    return streams[name]


def counted(context: Context, stream: Stream, days: Sequence[date]) -> list[Counted]:
    """Return what the quarantine of days holds, by day and reason, the most first."""
    aside, released = (
        _by_reason(_read(context, stream, table, days)) for table in (QUARANTINE, RELEASED)
    )
    events = stream_table(stream.name, EVENTS)
    commits = context.warehouse.commits(events)
    found = [
        Counted(
            ds=ds,
            reason=reason,
            rows=aside.get((ds, reason), 0),
            events=commits[events, ds, ""].rows if (events, ds, "") in commits else 0,
            can_be_released=can_be_released(reason, stream),
            released=released.get((ds, reason), 0),
        )
        for ds, reason in {**aside, **released}
    ]
    return sorted(found, key=lambda one: (one.ds, -one.rows, one.reason))


def examples(
    context: Context, stream: Stream, days: Sequence[date], reason: str, count: int
) -> list[dict[str, Any]]:
    """Return some rows of each reason on each day, ready for JSON; the same ones each time.

    Args:
        context: a pipeline that reads the stream.
        stream: whose quarantine.
        days: of these days.
        reason: of this reason only; empty: of any.
        count: at most so many of each day and reason.
    """
    rows = _read(context, stream, QUARANTINE, days)
    if rows is None:
        return []
    of_reason = rows.where(F.col(REASON) == reason) if reason else rows
    place = F.row_number().over(Window.partitionBy(DS, REASON).orderBy(ROW))
    few = of_reason.withColumn("_place", place).where(F.col("_place") <= count)
    return [
        {"ds": str(row[DS]), "reason": row[REASON], "row": row[ROW], "file": row[SOURCE_FILE]}
        for row in few.orderBy(DS, REASON, "_place").collect()
    ]


def _read(context: Context, stream: Stream, table: str, days: Sequence[date]) -> DataFrame | None:
    """Return the rows of those of the days that a table of the stream has; None for none."""
    of_stream = stream_table(stream.name, table)
    commits = context.warehouse.commits(of_stream)
    there = [day for day in days if (of_stream, day, "") in commits]
    return context.warehouse.read(of_stream, there) if there else None


def _by_reason(rows_df: DataFrame | None) -> dict[tuple[date, str], int]:
    """Return how many rows there are by day and reason."""
    if rows_df is None:
        return {}
    counted_rows = rows_df.groupBy(DS, REASON).count().collect()
    return {(ds, reason): count for ds, reason, count in counted_rows}
