"""The exception tree: every error names the thing, the value, the rule and the next step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date


class NightscoreError(Exception):
    """A night, a training run or a request that cannot go on; the message is for a person."""

    exit_code = 1


class UsageError(NightscoreError):
    """What was asked for is malformed or unknown; nothing was started."""

    exit_code = 2


class DefinitionError(UsageError):
    """The definition of a pipeline or a stream breaks a rule; the message names the field."""

    def __init__(
        self, name: str, field: str, value: object, rule: str, *, what: str = "definition"
    ) -> None:
        super().__init__(f"{what} {name}: {field}={value!r}: {rule}")
        self.field, self.rule = field, rule


class SourceDayMissing(NightscoreError):
    """The source holds nothing for a day that was asked for."""

    def __init__(self, pipeline: str, day: date, why: str, next_step: str) -> None:
        super().__init__(f"{pipeline}: source has no rows for ds={day}: {why}. {next_step}")
        self.ds = day
        self.why, self.next_step = why, next_step


class SourceCorrupt(NightscoreError):
    """A source file cannot be read, or lacks a column, or holds another type.

    `ds` is the day that cannot be read for it, None where the fault is of no one day.
    """

    def __init__(self, text: str, day: date | None = None) -> None:
        super().__init__(text)
        self.ds = day


class PartitionNotReady(NightscoreError):
    """A step needs days of a table that are not there."""

    def __init__(self, table: str, days: Iterable[object], next_step: str) -> None:
        listed = [str(day) for day in days]
        shown = ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
        super().__init__(f"{table}: missing ds={shown} ({len(listed)} days). {next_step}")


class SpineTooLarge(NightscoreError):
    """A day has more pairs to score than its pipeline allows."""

    def __init__(self, pipeline: str, day: date, left: int, right: int, most: int) -> None:
        super().__init__(
            f"{pipeline} ds={day}: {left:,} x {right:,} = {left * right:,} pairs to score, more "
            f"than max_rows={most:,} of the spine. Nothing was made. Narrow a side of it (fewer "
            "days, a larger at_least, a smaller n), or raise max_rows"
        )
        self.ds = day


class TooManyBadRows(NightscoreError):
    """The share of quarantined rows of a day is above the definition's ceiling."""

    def __init__(self, text: str, day: date) -> None:
        super().__init__(text)
        self.ds = day


class CheckFailed(NightscoreError):
    """A data check failed; nothing was published."""


class WriteFailed(NightscoreError):
    """A table write did not commit; the table is as it was."""


class WriteConflict(NightscoreError):
    """Another driver committed the same day first."""


class PublishFenced(NightscoreError):
    """A newer publication exists; this run may not overtake it."""


class InputsReplaced(NightscoreError):
    """What a run was planned from was replaced by another driver; planned again, it may go on."""


class RunRemoved(InputsReplaced):
    """Maintenance removed the scores of a run; planned again, it is scored under another id."""


class NothingKnown(NightscoreError):
    """A day has events, and none of them was known before the day's cut-off."""


class NoChampion(NightscoreError):
    """No model is promoted for the pipeline."""

    def __init__(self, pipeline: str) -> None:
        super().__init__(
            f"{pipeline}: no champion model. "
            f"Run: nightscore train --pipeline {pipeline} --from … --to … --eval-to …"
        )


class GateRefused(NightscoreError):
    """A challenger did not pass the promotion gate."""


class TableDamaged(NightscoreError):
    """A file of a table or of its log is gone, empty or not what it should be."""


class DayChanged(NightscoreError):
    """Somebody else changed the rows of a day; they are not what its commit says they are."""
