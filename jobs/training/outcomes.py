"""Brings the outcomes of days up to date: the days of streams that come after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.errors import SourceDayMissing
from jobs.night.outcomes import take_in, told_on
from jobs.training.label_rows import looked_for_on, require_told

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
    for stream, looked in told_on(context, lambda outcome: looked_for_on(context, outcome, days)):
        for _, error in sorted(take_in(context, stream, looked, on_progress).items()):
            if not isinstance(error, SourceDayMissing):
                raise error
    for outcome in context.definition.outcomes:
        require_told(context, days, outcome)
