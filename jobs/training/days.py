"""Which days a training takes: those to learn from, and later ones to judge by."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from jobs.config import check_day, days_between

if TYPE_CHECKING:
    from feature_store.definition import Definition


def training_days(
    definition: Definition, first: date, last: date, eval_to: date | None
) -> tuple[list[date], list[date]]:
    """Return the days to learn from, `first` to `last`, and those after them to `eval_to`.

    Raises:
        UsageError: a day is not one of the pipeline's, or they are out of order.
    """
    check_day(definition, first, "--from")
    check_day(definition, last, "--to")
    if last < first:
        raise UsageError(f"--from={first} --to={last}: --from must not be after --to")
    if eval_to is None:
        return _scored_days(definition, first, last), []
    check_day(definition, eval_to, "--eval-to")
    if eval_to <= last:
        raise UsageError(f"--to={last} --eval-to={eval_to}: --eval-to must be after --to")
    later = _scored_days(definition, last + timedelta(days=1), eval_to)
    return _scored_days(definition, first, last), later


def _scored_days(definition: Definition, first: date, last: date) -> list[date]:
    """Return the days of a range; of those that the source will never have nothing is learnt."""
    return [day for day in days_between(first, last) if day not in definition.absent_days]
