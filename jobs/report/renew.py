"""Which earlier nights' labels came to be known since their pages were written."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from feature_store.errors import NightscoreError
from feature_store.schema import FEATURES
from jobs.report.labelled import MAX_LABELLED_ROWS, labels_state, measured
from jobs.report.nights import Labelled, NightRecord, to_renew

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.night.ledger import Publication

log = logging.getLogger(__name__)

WINDOW_DAYS = 60
"""Nights that are looked at again: what comes to be known later is for `nightscore report`."""
MOST_NIGHTS = 7
"""Nights that are looked at again with one report, each with its page: as a rule it is one, whose
labels came to be known since the night before. The others follow with the next reports."""


def newly_labelled(
    context: Context,
    ledger: Sequence[Publication],
    kept: Mapping[date, NightRecord],
    ds: date,
    columns: Sequence[str],
) -> dict[date, Labelled]:
    """Return what is known of the labels of a night, and of those before it that have news.

    Args:
        context: the pipeline.
        ledger: every publication, oldest first per day.
        kept: the records of nights.
        ds: the night; measured whenever it is published.
        columns: columns of features to tell rows apart by.
    """
    runs = {p.ds: p.run_id for p in ledger}
    found = measured(context, {ds: runs[ds]}, columns) if ds in runs else {}
    since = ds - timedelta(days=WINDOW_DAYS)
    states = {
        day: labels_state(context, day, run) for day, run in runs.items() if since <= day < ds
    }
    days = _no_more_than_a_nights_work(context, to_renew(kept, states, datetime.now(UTC)))
    if days:
        try:
            found |= measured(context, {day: runs[day] for day in days}, columns)
        except NightscoreError as error:  # an old night's tables do not keep this one from its page
            log.warning("step=report ds=%s: nights before keep what is known of their labels: %s",
                        ds, error)  # fmt: skip
    return found


def _no_more_than_a_nights_work(context: Context, days: Sequence[date]) -> list[date]:
    """Return the newest of the days whose rows are no more than those of one large night."""
    taken: list[date] = []
    rows = 0
    for day in sorted(days, reverse=True)[:MOST_NIGHTS]:
        commit = context.warehouse.commit(FEATURES, day)
        rows += commit.rows if commit else 0
        if taken and rows > MAX_LABELLED_ROWS:
            break
        taken.append(day)
    return sorted(taken)
