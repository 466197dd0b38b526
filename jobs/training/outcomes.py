"""Brings the outcomes of days up to date: the days of streams that come after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import SourceDayMissing
from jobs.night.outcomes import take_in
from jobs.training.label_rows import require_told

if TYPE_CHECKING:
    from jobs.context import Context


def bring_outcomes(
    context: Context, days: Sequence[date], on_progress: Callable[[str], None]
) -> None:
    """Take in the streams that tell what came of `days`, as far as their days are there.

    Nothing is to be done where rows tell their own label.

    Raises:
        PartitionNotReady: an outcome is looked for on days that are not there.
        SourceCorrupt, TooManyBadRows: nothing good was ever delivered of one of them.
    """
    for outcome in context.definition.outcomes:
        looked = {d for day in days for d in context.definition.outcome_days(outcome, day)}
        for _, error in sorted(take_in(context, outcome, looked, on_progress).items()):
            if not isinstance(error, SourceDayMissing):
                raise error
        require_told(context, days, outcome)
