"""What work will take, from what the same work took before."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from feature_store.schema import EVENTS, FEATURES, QUALITY, SCORES, TILES

if TYPE_CHECKING:
    from feature_store.tables.lineage import DayCommit
    from jobs.backfill.freshness import Freshness
    from jobs.context import Context

PRICE_SETTING = "NIGHTSCORE_PRICE_PER_CORE_HOUR"


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What the days to do will take; None where no past run says."""

    days: int
    rows: int | None
    seconds: float | None
    """Wall seconds of the table writes; starting Spark and the checks come on top."""
    core_hours: float | None
    money: float | None
    """`core_hours` times the price, in the price's currency; None without a price."""
    price_per_core_hour: float | None
    past_days: int
    """Days of past runs that the estimate rests on."""
    past_error: float | None
    """Median share by which the same rule misses the seconds of those days, each left out."""


def estimate(context: Context, to_do: Sequence[date], freshness: Freshness) -> Estimate:
    """Return the estimate for days, by the median past cost per day of each table to be written."""
    past = {
        table: _measured(context, table) for table in (EVENTS, TILES, FEATURES, SCORES, QUALITY)
    }
    work = [(table, day) for day in to_do for table in _tables(freshness, day)]
    known = [(past[table], day) for table, day in work if past[table]]
    price = price_per_core_hour()
    seconds = sum(statistics.median(c.seconds for c in costs) for costs, _ in known)
    core_hours = sum(statistics.median(c.core_seconds for c in costs) for costs, _ in known) / 3600
    usable = len(known) == len(work)
    return Estimate(
        days=len(to_do),
        rows=_rows(context, to_do, past[FEATURES]),
        seconds=round(seconds, 1) if usable else None,
        core_hours=round(core_hours, 4) if usable else None,
        money=round(core_hours * price, 4) if usable and price is not None else None,
        price_per_core_hour=price,
        past_days=len({(c.ds, c.run_id) for c in past[SCORES]}),
        past_error=past_error([[c.seconds for c in costs] for costs in past.values()]),
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


def past_error(past: Iterable[Sequence[float]]) -> float | None:
    """Return the median of |median of the others - actual| / actual over all values.

    Args:
        past: seconds per day, one sequence per table; those with fewer than three are left out.
    """
    errors = [
        abs(statistics.median([*seconds[:i], *seconds[i + 1 :]]) - actual) / max(actual, 1e-9)
        for seconds in past
        if len(seconds) >= 3
        for i, actual in enumerate(seconds)
    ]
    return round(statistics.median(errors), 3) if errors else None


def _tables(freshness: Freshness, day: date) -> Iterable[str]:
    """Yield the tables that a day's work writes."""
    if freshness.events(day).status != "fresh":
        yield EVENTS
    if freshness.tiles(day).status != "fresh" and freshness.context.definition.histories:
        yield TILES
    if freshness.features(day).status != "fresh":
        yield FEATURES
    yield SCORES
    yield QUALITY


def _measured(context: Context, table: str) -> list[DayCommit]:
    """Return the commits of a table whose cost is known, at most the newest hundred."""
    commits = [c for c in context.warehouse.commits(table).values() if c.seconds > 0]
    return sorted(commits, key=lambda c: c.version)[-100:]


def _rows(context: Context, days: Sequence[date], past: Sequence[DayCommit]) -> int | None:
    """Return the rows to score: what features hold now, the past median for days without."""
    typical = statistics.median(c.rows for c in past) if past else None
    rows = 0
    for day in days:
        commit = context.warehouse.commit(FEATURES, day)
        if commit is None and typical is None:
            return None
        rows += commit.rows if commit is not None else int(typical or 0)
    return rows
