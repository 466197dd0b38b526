"""The table `released` of a stream: quarantined rows that a person let in, by whom and why.

They come in as a delivery of their day would: what the day's events are made of says that rows were
released, so that the day is read again, and whatever read its events is stale by the same rules as
after a correction of the source.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import json_digest
from feature_store.errors import PartitionNotReady, UsageError
from feature_store.events.quarantine import REASON, ROW
from feature_store.events.release import can_be_released
from feature_store.schema import DS, QUARANTINE, RELEASED, SOURCE_FILE, stream_table
from feature_store.tables.inputs import Inputs
from jobs.night.outdated import retried

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Stream
    from jobs.context import Context

_SCHEMA = (
    "ds date, reason string, row string, source_file string, released_by string, why string, "
    "released_at timestamp"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """Which rows of a day's quarantine."""

    ds: date
    reason: str
    holding: str = ""
    """A text that the row holds, as it was delivered; empty: any row."""


def released_digest(context: Context, stream: Stream, day: date) -> str:
    """Return a digest of the rows of a day that were released; empty where none were."""
    commit = context.warehouse.commit(stream_table(stream.name, RELEASED), day)
    return "" if commit is None or not commit.rows else commit.inputs.source


def released_rows(context: Context, stream: Stream, days: Sequence[date]) -> DataFrame | None:
    """Return what was released of days: ds, reason, row and who let it in; None for nothing."""
    there = [day for day in days if released_digest(context, stream, day)]
    if not there:
        return None
    return context.warehouse.read(stream_table(stream.name, RELEASED), there)


def chosen_rows(context: Context, stream: Stream, chosen: Chosen) -> DataFrame:
    """Return rows of the quarantine: ds, reason, row, source_file.

    Raises:
        UsageError: rows that were set aside for this reason cannot be let in.
        PartitionNotReady: the day was never taken in.
    """
    if not can_be_released(chosen.reason, stream):
        raise UsageError(
            f"reason={chosen.reason!r}: such rows cannot be released. Only values out of range and "
            "missing ones can, range(column) and null(column), of columns that are no key and no "
            f"time of stream {stream.name}: mend the source, and have the day delivered again"
        )
    table = stream_table(stream.name, QUARANTINE)
    if context.warehouse.commit(table, chosen.ds) is None:
        name = context.definition.name
        step = f"Run: nightscore prepare --pipeline {name} --from {chosen.ds} --to {chosen.ds}"
        raise PartitionNotReady(table, [chosen.ds], f"The day was never taken in. {step}")
    rows = context.warehouse.read(table, [chosen.ds])
    found = rows.where(F.col(REASON) == chosen.reason)
    return found.where(F.contains(ROW, F.lit(chosen.holding))) if chosen.holding else found


def release(context: Context, stream: Stream, chosen: Chosen, *, who: str, why: str) -> int:
    """Let rows of a day's quarantine in, beside those let in before; return how many are new.

    They become events when the day is next taken in.

    Args:
        context: a pipeline that reads the stream.
        stream: whose quarantine.
        chosen: which rows.
        who: the person or service that asked.
        why: for the record.

    Raises:
        UsageError: rows of this reason cannot be let in.
        WriteConflict: others released rows of the day at the same time, again and again.
    """

    def attempt() -> int:
        columns = [DS, REASON, ROW, SOURCE_FILE]
        new = [tuple(row) for row in chosen_rows(context, stream, chosen).select(columns).collect()]
        before = released_rows(context, stream, [chosen.ds])
        kept = [] if before is None else [tuple(row) for row in before.collect()]
        known = {(row[1], row[2]) for row in kept}
        fresh = [row for row in new if (row[1], row[2]) not in known]
        if not fresh:
            return 0
        now = datetime.now(UTC)
        rows = [*kept, *((*row, who, why, now) for row in fresh)]
        digest = json_digest(sorted({json.dumps([row[1], row[2]]) for row in rows}))
        context.warehouse.replace_days(
            stream_table(stream.name, RELEASED),
            context.spark.createDataFrame(rows, _SCHEMA),
            {chosen.ds: Inputs(definition="released", code="1", source=digest)},
        )
        return len(fresh)

    return retried(attempt)
