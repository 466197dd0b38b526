"""What a whole run takes, from whole runs: its table writes, and all that comes beside them.

Beside the writes of tables a run starts Python and Spark, looks at the source, checks, publishes:
so many seconds once, and so many for every day it publishes.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feature_store.tables.commits import DayCommit
    from jobs.night.runs import RunRecord

_GROWING_STEPS = ("check features", "check scores")


@dataclass(frozen=True, kw_only=True, slots=True)
class PastRun:
    """A run that published days: its wall seconds, and in which of them tables were written."""

    seconds: float
    days: int
    writes: Mapping[str, Sequence[float]]
    """Table -> wall seconds of each day that the run wrote."""
    growing: float
    """Seconds of its steps that grow with the days, as far as it has steps."""

    @property
    def beside(self) -> float:
        """Seconds that were not spent writing tables."""
        return max(0.0, self.seconds - sum(sum(one) for one in self.writes.values()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What runs take beside their writes: once, and for every day."""

    once: float
    per_day: float

    def seconds(self, days: int) -> float:
        """Return the seconds of a run of so many days."""
        return self.once + self.per_day * days


def past_runs_of(
    records: Iterable[RunRecord], commits: Mapping[str, Sequence[DayCommit]]
) -> list[PastRun]:
    """Return the runs that published something and ended well, with the writes made within them."""
    found = []
    for record in records:
        if not record.worked or record.outcome not in ("published", "done"):
            continue
        first, last = record.started_at, record.started_at + timedelta(seconds=record.seconds)
        writes = {
            table: [c.seconds for c in listed if first <= c.committed_at <= last]
            for table, listed in commits.items()
        }
        growing = sum(record.steps.get(step, 0.0) for step in _GROWING_STEPS)
        found.append(
            PastRun(seconds=record.seconds, days=record.worked, writes=writes, growing=growing)
        )
    return found


def beside_writes(runs: Sequence[PastRun]) -> Beside:
    """Return what runs take beside their writes; `runs` are one or more.

    What a day adds is the median slope between runs of different lengths. Where all were of the
    same length it is what their checks took, which is more than a day adds: the estimate of a
    longer run is then too high rather than too low.
    """
    slopes = [
        (b.beside - a.beside) / (b.days - a.days)
        for a, b in itertools.combinations(runs, 2)
        if a.days != b.days
    ]
    if slopes:
        per_day = max(0.0, statistics.median(slopes))
    else:
        per_day = statistics.median(min(run.growing, run.beside) / run.days for run in runs)
    once = statistics.median(run.beside - per_day * run.days for run in runs)
    return Beside(once=max(0.0, once), per_day=per_day)


def past_error(runs: Sequence[PastRun]) -> float | None:
    """Return the median share by which the same rule misses runs that it was not told of.

    None where there are fewer than two runs.
    """
    if len(runs) < 2:
        return None
    errors = []
    for i, run in enumerate(runs):
        others = [*runs[:i], *runs[i + 1 :]]
        told = beside_writes(others).seconds(run.days) + _writes(run, others)
        errors.append(abs(told - run.seconds) / max(run.seconds, 1e-9))
    return round(statistics.median(errors), 3)


def _writes(run: PastRun, others: Sequence[PastRun]) -> float:
    """Return what the writes of a run would take, by the median of the others' per table."""
    seconds = 0.0
    for table, written in run.writes.items():
        known = [one for other in others for one in other.writes.get(table, ())]
        seconds += statistics.median(known) * len(written) if known else 0.0
    return seconds
