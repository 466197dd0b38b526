"""When columns become known: by a column that says so, or by what is stated for want of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.init.names import unused
from jobs.init.parts import OUTCOME, ROW, KnownGuess, TimeGuess
from jobs.init.seen import Seen
from jobs.init.when import KNOWN

if TYPE_CHECKING:
    from jobs.init.seen import Instants

_RECORDED = re.compile(
    r"(created|loaded|updated|ingested|inserted|recorded|published|planned|announced|modified)"
    r"_(at|on|time|ts|timestamp|date)\Z"
)
_OF_OUTCOME = re.compile(r"(label|target|outcome|result|click|conversion|response)")
_BEFORE_HOURS, _AFTER_HOURS = -1, 23
_MOSTLY = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """The two groups, and the times that are stated for them."""

    row: KnownGuess
    outcome: KnownGuess
    times: tuple[TimeGuess, ...]
    notes: tuple[str, ...]


def knowledge_of(
    seen: Seen, days: Instants, event: str, label: str | None, taken: Sequence[str]
) -> Knowledge:
    """Return when what is there beforehand becomes known, and when the label does.

    Args:
        seen: the table.
        days: the day of each row of the sample.
        event: the column that says when a row happens, declared or stated.
        label: the label's column, if there is one.
        taken: names that a stated time may not have.
    """
    names = [n for n, kind in seen.kinds.items() if kind.dtype == "timestamp" and n != event]
    outcome = _of_outcome(seen, names, event, label)
    row, notes = _of_row(seen, [name for name in names if name != outcome], days)
    times: list[TimeGuess] = []
    if row is None:
        stated = TimeGuess(
            name=unused("known_at", [*seen.looks, *taken]),
            hours=_BEFORE_HOURS,
            why="no column says when a row is known: taken as known as its day begins",
        )
        times.append(stated)
        row_known = KnownGuess(name=ROW, at=stated.name, after_event=False, why=stated.why)
    else:
        why = "its name says when a row is known"
        row_known = KnownGuess(name=ROW, at=row, after_event=False, why=why)
    if outcome is not None:
        why = "says when the label is known"
    elif event in seen.kinds and seen.kinds[event].dtype == "timestamp":
        outcome, why = event, "no column says when the label is known: the moment of the event is"
    else:
        late = TimeGuess(
            name=unused("outcome_known_at", [*seen.looks, *taken]),
            hours=_AFTER_HOURS,
            why="no column says when the label is known: taken as known as its day ends",
        )
        times.append(late)
        outcome, why = late.name, late.why
    label_known = KnownGuess(name=OUTCOME, at=outcome, after_event=True, why=why)
    return Knowledge(row=row_known, outcome=label_known, times=tuple(times), notes=tuple(notes))


def _of_row(seen: Seen, names: Sequence[str], days: Instants) -> tuple[str | None, list[str]]:
    """Return the column that says when a row is known, and what should be known of it."""
    for name in names:
        if not KNOWN.search(name):
            continue
        late = 1.0 - _share_before(seen.instants(name), days)
        if late < 1.0 - _MOSTLY:
            return name, []
        note = (
            f"{seen.looks[name].name} says that {late:.0%} of the rows are known only after their "
            "day began: for a night that scores before it their features are null. Set "
            "cutoff_hours if it scores later"
        )
        return name, [note]
    for name in names:
        if _RECORDED.search(name) and _share_before(seen.instants(name), days) >= _MOSTLY:
            return name, []
    return None, []


def _of_outcome(seen: Seen, names: Sequence[str], event: str, label: str | None) -> str | None:
    """Return the column that says when the label is known."""
    if label is None:
        return None
    stem = re.sub(r"\A(is|has|was)_|(ed|d)\Z", "", label)
    known = [name for name in names if KNOWN.search(name)]
    for name in known:
        if name.startswith(stem) or _OF_OUTCOME.search(name):
            return name
    if event not in seen.looks:
        return None
    happens = seen.instants(event)
    others = [name for name in known if not KNOWN.fullmatch(name)]
    for name in (*others, *(name for name in names if _RECORDED.search(name))):
        times = seen.instants(name)
        if len(times) and not seen.looks[name].nulls and (times >= happens).mean() >= 0.99:
            return name
    return None


def _share_before(times: Instants, days: Instants) -> float:
    """Return the share of rows that are known before the day begins; 1 if there is no row."""
    if not len(times):
        return 1.0
    return float((times < days.astype("datetime64[us]")).mean())
