"""Which days the files hold, and which of them a first model learns from and is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import cast

from feature_store.errors import SourceCorrupt, UsageError
from feature_store.sources.files import DailyFiles
from feature_store.sources.readers import Format
from feature_store.sources.undated import UndatedFiles
from jobs.config import days_between
from jobs.init.parts import Guess, SourceGuess

_LEAST_DAYS = 3
"""Days to learn from, to stop by and to be judged on."""
_MOST_ABSENT = 400
"""Days that are written out: of more it is said that they are missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstDays:
    """The days of a first training, and of the first night after it."""

    first: date
    last: date
    eval_to: date


def first_days(held: Sequence[date]) -> FirstDays | None:
    """Return days for a first model: a fifth of those that are held is to judge it on.

    None where there are too few to train on.
    """
    if len(held) < _LEAST_DAYS:
        return None
    judged = max(1, len(held) // 5)
    return FirstDays(first=held[0], last=held[-judged - 1], eval_to=held[-1])


def held_days(source: SourceGuess) -> list[date]:
    """Return the days of which the source that was guessed finds rows, in order.

    Raises:
        UsageError: a file cannot be read by the source that was guessed.
    """
    try:
        days = _files(source).snapshot_days()
    except SourceCorrupt as error:
        raise UsageError(str(error)) from error
    return [day for day in days if source.first_day <= day <= source.last_day]


def with_absent_days(guess: Guess, held: Sequence[date]) -> Guess:
    """Return a guess that names the days between the first and the last that are not held.

    Without that a day on which the shop was closed would stop every night that looks back to it.
    """
    source, there = guess.source, set(held)
    absent = [day for day in days_between(source.first_day, source.last_day) if day not in there]
    if len(absent) <= _MOST_ABSENT:
        return replace(guess, source=replace(source, absent_days=tuple(absent)))
    note = (
        f"{len(absent):,} days between {source.first_day} and {source.last_day} have no row: a "
        "night that reads one of them stops. Name them in absent_days, or begin later (first_day)"
    )
    return replace(guess, notes=(*guess.notes, note))


def _files(source: SourceGuess) -> DailyFiles | UndatedFiles:
    kind = cast("Format", source.format)
    if source.kind == "daily":
        return DailyFiles(
            folder=source.place, format=kind, pattern=source.pattern, delimiter=source.delimiter
        )
    return UndatedFiles(
        path=source.place,
        day_column=source.day_column,
        format=kind,
        unit=source.unit,
        delimiter=source.delimiter,
    )
