"""Checks suggested of the features that are there of some days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.definition import Numeric
from feature_store.errors import PartitionNotReady
from feature_store.quality.profile import profiles
from feature_store.quality.suggest import MOST_VALUES, Suggestion, suggestions
from feature_store.schema import FEATURES

if TYPE_CHECKING:
    from jobs.context import Context


def suggested(context: Context, days: Sequence[date]) -> tuple[list[Suggestion], int]:
    """Return suggestions, and how many days they were made of.

    Raises:
        PartitionNotReady: there are no features of any of the days.
    """
    definition = context.definition
    commits = context.warehouse.commits(FEATURES)
    there = [day for day in days if (FEATURES, day, "") in commits]
    if not any(commits[FEATURES, day, ""].rows for day in there):
        step = (
            f"Run: nightscore prepare --pipeline {definition.name} --from {days[0]} --to {days[-1]}"
        )
        raise PartitionNotReady(FEATURES, days, step)
    numbers = [one.name for one in definition.features if isinstance(one, Numeric)]
    texts = [one.name for one in definition.features if not isinstance(one, Numeric)]
    frame = context.warehouse.read(FEATURES, there)
    return suggestions(definition, profiles(frame, numbers, texts, MOST_VALUES)), len(there)
