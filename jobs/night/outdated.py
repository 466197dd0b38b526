"""What a step reports, and the rule by which a day is done again or left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeVar

from feature_store.errors import WriteConflict

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.tables.inputs import Inputs
    from jobs.context import Context

log = logging.getLogger(__name__)

_TRIES = 4

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What a step did: the days it wrote and those it found done."""

    step: str
    written: tuple[date, ...]
    skipped: tuple[date, ...]
    rows: int
    """Rows of the table over all days asked for, written or found."""


def outdated_days(
    context: Context, table: str, inputs: Mapping[date, Inputs], force: bool
) -> list[date]:
    """Return the days whose stored inputs differ from `inputs`; all of them with `force`."""
    commits = context.warehouse.commits(table)

    def is_done(day: date) -> bool:
        commit = commits.get((table, day, ""))
        return commit is not None and not commit.foreign and commit.inputs == inputs[day]

    return [day for day in sorted(inputs) if force or not is_done(day)]


def write_outdated(
    context: Context,
    table: str,
    inputs: Mapping[date, Inputs],
    compute: Callable[[Sequence[date]], DataFrame],
    *,
    force: bool = False,
) -> StepResult:
    """Bring the days of a table up to date in one commit, leaving alone those that are.

    A driver that lost a race looks again at what the winner wrote: the same inputs make the same
    rows, and are accepted; days that are still outdated are tried again.

    Raises:
        WriteConflict: other drivers won several times in a row.
    """
    days = outdated_days(context, table, inputs, force)
    written = _write(context, table, inputs, compute, days)
    commits = context.warehouse.commits(table)
    result = StepResult(
        step=table,
        written=tuple(written),
        skipped=tuple(sorted(set(inputs) - set(written))),
        rows=sum(commits[table, day, ""].rows for day in inputs),
    )
    log.info(
        "step=%s pipeline=%s written=%d skipped=%d rows=%d",
        table,
        context.definition.name,
        len(result.written),
        len(result.skipped),
        result.rows,
    )
    return result


def retried(write: Callable[[], T]) -> T:
    """Return what `write` returns, called again where another driver's commit came first.

    Only for writes that may be repeated as they are, because they read nothing another driver
    could have changed, or look again by themselves.

    Raises:
        WriteConflict: other drivers came first several times in a row.
    """
    for attempt in range(_TRIES):
        try:
            return write()
        except WriteConflict as conflict:
            log.warning("attempt=%d of %d: %s", attempt + 1, _TRIES, conflict)
            last = conflict
    raise last


def _write(
    context: Context,
    table: str,
    inputs: Mapping[date, Inputs],
    compute: Callable[[Sequence[date]], DataFrame],
    days: Sequence[date],
) -> Sequence[date]:
    """Write the days that need it and return those that were written here."""
    left = list(days)

    def attempt() -> Sequence[date]:
        if not left:
            return []
        try:
            context.warehouse.replace_days(table, compute(left), {d: inputs[d] for d in left})
        except WriteConflict:
            left[:] = outdated_days(context, table, {d: inputs[d] for d in left}, force=False)
            raise
        return left

    return retried(attempt)
