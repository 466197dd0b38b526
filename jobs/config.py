"""Parsing and checking of everything that comes from outside: dates, ranges, settings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from feature_store.definition import Definition
from feature_store.errors import UsageError

MAX_DAYS = 3660


def parse_ds(text: str, what: str = "--ds") -> date:
    """Return the logical date written as YYYY-MM-DD.

    Raises:
        UsageError: it is malformed, no date, or in the future.
    """
    try:
        day = date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        day = None
    if day is None:
        raise UsageError(f"{what}={text!r}: must be a date written YYYY-MM-DD")
    today = datetime.now(UTC).date()
    if day > today:
        raise UsageError(f"{what}={text!r}: is in the future (today is {today} UTC)")
    return day


def check_day(definition: Definition, day: date, what: str = "--ds") -> date:
    """Return `day` if the pipeline has it.

    Raises:
        UsageError: it lies outside the days of the pipeline, or is one of its `absent_days`.
    """
    _check_bounds(definition, day, what)
    if day in definition.absent_days:
        raise UsageError(
            f"{what}={day}: is one of the absent_days of pipeline {definition.name}: its source "
            "has nothing for it, so there is nothing to score. Ask for another day, or take this "
            "one off absent_days if the source has it after all"
        )
    return day


def _check_bounds(definition: Definition, day: date, what: str) -> None:
    last = definition.last_day
    if day < definition.first_day or (last is not None and day > last):
        until = last or "today"
        raise UsageError(
            f"{what}={day}: pipeline {definition.name} has days {definition.first_day} to {until}"
        )


def day_range(
    definition: Definition, first: str, last: str, exclude: Iterable[str] = ()
) -> list[date]:
    """Return the days from `first` to `last`, both included, without excluded and absent ones.

    Raises:
        UsageError: a date is malformed, outside the pipeline, or the range is empty.
    """
    start, end = parse_ds(first, "--from"), parse_ds(last, "--to")
    _check_bounds(definition, start, "--from")
    _check_bounds(definition, end, "--to")
    every = _span(start, end)
    left_out = {*(parse_ds(text, "--exclude") for text in exclude), *definition.absent_days}
    days = [d for d in every if d not in left_out]
    if not days:
        raise UsageError(
            f"--from={start} --to={end}: no day is left without --exclude and the absent_days of "
            f"pipeline {definition.name}"
        )
    return days


def every_day(first: str, last: str) -> list[date]:
    """Return the days from `first` to `last`, both included, whoever has them.

    Raises:
        UsageError: a date is malformed, or the range is empty or too long.
    """
    return _span(parse_ds(first, "--from"), parse_ds(last, "--to"))


def _span(start: date, end: date) -> list[date]:
    """Return the days of a range that was asked for, unless it is empty or too long."""
    if end < start:
        raise UsageError(f"--from={start} --to={end}: --from must not be after --to")
    if (end - start).days >= MAX_DAYS:
        raise UsageError(f"--from={start} --to={end}: at most {MAX_DAYS} days at once")
    return days_between(start, end)


def days_between(first: date, last: date) -> list[date]:
    """Return every day from `first` to `last`, both included."""
    return [first + timedelta(days=i) for i in range((last - first).days + 1)]


def setting(name: str, default: int, minimum: int, maximum: int) -> int:
    """Return the whole number in an environment variable.

    Raises:
        UsageError: it is not a whole number within the bounds.
    """
    text = os.environ.get(name)
    if text is None or text == "":
        return default
    if not text.isdigit() or not minimum <= int(text) <= maximum:
        raise UsageError(f"{name}={text!r}: must be a whole number in {minimum}..{maximum}")
    return int(text)
