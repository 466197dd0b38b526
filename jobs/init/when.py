"""When a row happens, and of which day it is: as its file's place says, or a column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from feature_store.schema import DS
from feature_store.sources.instants import Unit
from jobs.init.kinds import kind_of
from jobs.init.names import unused
from jobs.init.parts import EventGuess, SourceGuess, TimeGuess
from jobs.init.seen import Seen, instants
from jobs.init.table import ColumnLook, Table

if TYPE_CHECKING:
    from jobs.init.seen import Instants

_NAMED = (
    (100, re.compile(r"event_(time|at|timestamp|ts|date|datetime|day)\Z")),
    (95, re.compile(r"(occurred|happened|shown|seen|served|requested|started)_(at|on|time)\Z")),
    (90, re.compile(r"(at|ts|when|time|timestamp|datetime|date_time|unix_time|epoch)\Z")),
    (80, re.compile(r"(date|day|as_of|as_of_date|snapshot_(date|day|at|time))\Z")),
    (20, re.compile(r"(created|loaded|updated|ingested|inserted|recorded|modified|published)_")),
    (
        10,
        re.compile(
            r"birth|dob|expir|valid|end(ed)?_|due|signup|signed|register|joined|first_|last_|since|"
            r"start_|until|deliver"
        ),
    ),
    (60, re.compile(r"_(at|time|ts|timestamp|datetime)\Z")),
    (50, re.compile(r"_(date|day|on)\Z|\A(date|time)_")),
)
KNOWN = re.compile(r"(\A|_)known(_at|_on|_time|_ts)?\Z")
_TIMELY = re.compile(r"(\A|_)(date|day|time|timestamp|ts|at|datetime|when|on)(\Z|_)")
_FAR = 2
"""Days from that of its file on which an event may lie."""
_MOSTLY = 0.99
_SPREAD = 3
"""Days of events in a file from which on its name is the day of an export, and of nothing else."""
_FIRST_COMPACT, _LAST_COMPACT = 19_000_101, 21_001_231


def event_order(seen: Seen, aside: Sequence[str]) -> list[str]:
    """Return the columns that could say when a row happens, the likelier first."""
    found = {}
    for name, kind in seen.kinds.items():
        look = seen.looks[name]
        if not kind.is_time or look.nulls or look.untold or KNOWN.search(name):
            continue
        score = next((score for score, pattern in _NAMED if pattern.search(name)), 30)
        found[name] = (15 if name in aside else score) + (kind.dtype == "timestamp")
    return sorted(found, key=lambda name: -found[name])


def source_of(seen: Seen, order: Sequence[str]) -> SourceGuess:
    """Return how the files are laid out.

    Args:
        seen: the table.
        order: the columns that could say when a row happens.

    Raises:
        UsageError: neither a file's place nor a column says the day.
    """
    table, layout = seen.table, seen.table.layout
    if layout.pattern is not None and not _is_export(seen, order):
        days = sorted({day for day in layout.days if day is not None})
        return SourceGuess(
            kind="daily",
            place=str(layout.folder),
            pattern=layout.pattern,
            format=layout.format,
            delimiter=table.delimiter,
            first_day=days[0],
            last_day=days[-1],
            why=f"{len(layout.files):,} files say their day in their path: {layout.pattern}",
        )
    name, look, unit, why = _day_column(seen, order)
    if table.broken:
        lines = f"{table.broken:,} lines" if table.broken > 1 else "a line"
        raise UsageError(
            f"{table.first_broken}. Of {lines} that cannot be read nobody can tell the day. "
            "Correct or remove them, then run nightscore init again"
        )
    first, last = _limits(look, unit)
    return SourceGuess(
        kind="undated",
        place=layout.asked,
        format=layout.format,
        delimiter=table.delimiter,
        day_column=name,
        unit=unit,
        first_day=first,
        last_day=last,
        why=why,
    )


def row_days(seen: Seen, source: SourceGuess) -> Instants:
    """Return the day of each row of the sample."""
    if source.kind == "daily":
        return seen.file_days()
    values = seen.table.sample.column(source.day_column).combine_chunks()
    return instants(values, source.unit).astype("datetime64[D]")


def event_of(
    seen: Seen, source: SourceGuess, days: Instants, order: Sequence[str]
) -> tuple[EventGuess, TimeGuess | None]:
    """Return when a row happens, and a stated time if no column says it."""
    if source.kind == "undated":
        own = [name for name in order if seen.looks[name].name == source.day_column]
        if own:
            why = "says the day of a row, and so when it happens"
            return EventGuess(column=own[0], days=(0, 0), why=why), None
    for name in order if source.kind == "daily" else ():
        found = _event_days(seen.instants(name), days)
        if found is not None:
            near = "on the day of its file"
            if found != (0, 0):
                near = f"from {found[0]:+} to {found[1]:+} days of the day of its file"
            return EventGuess(column=name, days=found, why=f"a time, {near}"), None
    stated = TimeGuess(
        name=unused("as_of", seen.looks),
        hours=0,
        why="no column says when a row happens: the midnight that begins its day stands for it",
    )
    return EventGuess(column=stated.name, days=(0, 0), why=stated.why), stated


def _is_export(seen: Seen, order: Sequence[str]) -> bool:
    """Whether the day in a file's place is none of its rows' days."""
    if not order or len(set(seen.table.layout.days)) > 1:
        return False
    times = seen.instants(order[0]).astype("datetime64[D]")
    return len(times) > 0 and len(set(times.tolist())) > _SPREAD


def _event_days(times: Instants, days: Instants) -> tuple[int, int] | None:
    """Return between which days, counted from its file's, an event lies; None if far from it."""
    import numpy as np

    if not len(times):
        return 0, 0
    offsets = (times.astype("datetime64[D]") - days).astype(int)
    near = offsets[np.abs(offsets) <= _FAR]
    if len(near) < _MOSTLY * len(offsets):
        return None
    low, high = np.quantile(near, [0.001, 0.999], method="nearest")
    return min(int(low), 0), max(int(high), 0)


def _day_column(seen: Seen, order: Sequence[str]) -> tuple[str, ColumnLook, Unit | None, str]:
    """Return the column that says the day of a row, as the files call it."""
    own = next((c for c in seen.table.columns if c.name.lower() == DS), None)
    candidates = [(seen.looks[name], seen.kinds[name]) for name in order]
    if own is not None:
        kind = kind_of(own, "day")
        if kind.is_time and not own.nulls and not own.untold:
            candidates.insert(0, (own, kind))
    if not candidates:
        raise UsageError(_without_day(seen.table, seen))
    look, kind = candidates[0]
    others = ", ".join(look.name for look, _ in candidates[1:4])
    also = f"; {others} could say it as well" if others else ""
    unit = f", in {kind.unit} since 1970" if kind.unit else ""
    return look.name, look, kind.unit, f"no path says a day, and {look.name} does{unit}{also}"


def _without_day(table: Table, seen: Seen) -> str:
    """Return why no column says the day, and what to do."""
    again = ", then run nightscore init again"
    for name, look in seen.looks.items():
        times = look.forms.get("time", 0) + look.forms.get("day", 0)
        told = look.filled if seen.kinds[name].is_time else times
        if told > 0.5 * table.rows and not KNOWN.search(name):
            missing = table.rows - told + look.untold
            shown = next((value for value in look.counts if not value[:4].isdigit()), "")
            such = f", such as {shown!r}" if shown else ""
            return (
                f"{table.title}: column {look.name}: {missing:,} of {table.rows:,} rows have no "
                f"day that can be told{such}. Correct or remove them{again}"
            )
    for name, look in seen.looks.items():
        low, high = look.minimum, look.maximum
        is_compact = (
            low is not None
            and high is not None
            and look.is_whole
            and low >= _FIRST_COMPACT
            and high <= _LAST_COMPACT
        )
        if is_compact or (_TIMELY.search(name) and look.filled and not seen.kinds[name].is_time):
            return (
                f"{table.title}: column {look.name}: {look.examples[0]!r} is no day that is read. "
                f"Write it as 2026-01-02 or 2026-01-02T18:00:00Z{again}"
            )
    names = ", ".join(look.name for look in list(table.columns)[:10])
    return (
        f"{table.title}: no column says the day of a row (there are {names}), and no path does. "
        f"Add a column with a date or a time, or lay the files out as ds=2026-01-02/part.csv{again}"
    )


def _limits(look: ColumnLook, unit: Unit | None) -> tuple[date, date]:
    """Return the first and the last day of a column."""
    if unit is None:
        if look.first is None or look.last is None:
            raise UsageError(f"column {look.name}: no row says a day. Write 2026-01-02")
        return look.first, look.last
    import pyarrow as pa

    limits = instants(pa.array([look.minimum, look.maximum], pa.float64()), unit)
    first, last = limits.astype("datetime64[D]").tolist()
    return first, last
