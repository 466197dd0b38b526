"""What work will take, from what the same work took before."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from feature_store.schema import EVENTS, FEATURES, QUALITY, SCORES, TILES, stream_table
from jobs.backfill.whole_runs import beside_writes, past_error, past_runs_of
from jobs.night.runs import past_runs
from jobs.night.spine_rows import spine_rows

if TYPE_CHECKING:
    from feature_store.tables.commits import DayCommit
    from jobs.backfill.freshness import Freshness
    from jobs.context import Context

PRICE_SETTING = "NIGHTSCORE_PRICE_PER_CORE_HOUR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What the days to do will take; None where no past run says."""

    days: int
    rows: int | None
    seconds: float | None
    """Wall seconds of the whole run, Spark's start included; None before the first whole run."""
    write_seconds: float | None
    """Wall seconds of them that go into table writes."""
    core_hours: float | None
    """Of Spark's tasks."""
    money: float | None
    """`core_hours` times the price, in the price's currency; None without a price."""
    price_per_core_hour: float | None
    past_runs: int
    """Past runs that the estimate rests on."""
    past_error: float | None
    """Median share by which the same rule misses the seconds of those runs, each left out."""


def estimate(context: Context, to_do: Sequence[date], freshness: Freshness) -> Estimate:
    """Return the estimate for days: the median past writes of each table, and all beside them."""
    of_streams = [
        stream_table(stream.name, table)
        for stream in context.definition.streams
        for table in (EVENTS, TILES)
    ]
    past = {table: _measured(context, table) for table in (*of_streams, FEATURES, SCORES, QUALITY)}
    work = Counter(table for day in to_do for table in _tables(freshness, day))
    usable = all(past[table] for table in work)
    price = price_per_core_hour()
    writes, core_hours = 0.0, 0.0
    for table, days in work.items() if usable else ():
        writes += days * statistics.median(c.seconds for c in past[table])
        core_hours += days * statistics.median(c.core_seconds for c in past[table]) / 3600
    runs = past_runs_of(past_runs(context.home, context.definition.name), past)
    beside = beside_writes(runs).seconds(len(to_do)) if runs and to_do else None
    return Estimate(
        days=len(to_do),
        rows=_rows(context, to_do, past[FEATURES]),
        seconds=round(writes + beside, 1) if usable and beside is not None else None,
        write_seconds=round(writes, 1) if usable else None,
        core_hours=round(core_hours, 4) if usable else None,
        money=round(core_hours * price, 4) if usable and price is not None else None,
        price_per_core_hour=price,
        past_runs=len(runs),
        past_error=past_error(runs),
    )


def price_per_core_hour() -> float | None:
    """Return the price set in NIGHTSCORE_PRICE_PER_CORE_HOUR, or None.

    Raises:
        UsageError: it is not a number, or negative.
    """
    text = os.environ.get(PRICE_SETTING)
    if not text:
        return None
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0.0 <= price < 1e6:
        raise UsageError(f"{PRICE_SETTING}={text!r}: must be a price per core-hour, 0 or more")
    return price


def _tables(freshness: Freshness, day: date) -> Iterable[str]:
    """Yield the tables that a day's work writes."""
    definition = freshness.context.definition
    for stream in definition.streams:
        # What tonight adds to a stream of its own is the day itself, and to another the one before.
        own = day if definition.is_scored(stream) else day - timedelta(days=1)
        if freshness.events(stream, own).status != "fresh":
            yield stream_table(stream.name, EVENTS)
        if definition.feature_tilings(stream) and freshness.tiles(stream, own).status != "fresh":
            yield stream_table(stream.name, TILES)
    if freshness.features(day).status != "fresh":
        yield FEATURES
    yield SCORES
    yield QUALITY


def _measured(context: Context, table: str) -> list[DayCommit]:
    """Return the commits of a table whose cost is known, at most the newest hundred."""
    commits = [c for c in context.warehouse.commits(table).values() if c.seconds > 0]
    return sorted(commits, key=lambda c: c.version)[-100:]


def _rows(context: Context, days: Sequence[date], past: Sequence[DayCommit]) -> int | None:
    """Return the rows to score: what features hold now, and for days without what others have.

    That is the past median; before there is one, what the spine tells of the first of them.
    """
    found = {day: context.warehouse.commit(FEATURES, day) for day in days}
    unknown = [day for day, commit in found.items() if commit is None]
    typical: float | None = 0
    if unknown:
        counts = [commit.rows for commit in past]
        typical = statistics.median(counts) if counts else spine_rows(context, unknown[0])
    if typical is None:
        return None
    return sum(int(typical) if commit is None else commit.rows for commit in found.values())
