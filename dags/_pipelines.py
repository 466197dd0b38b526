"""What a scheduler needs to know of each pipeline, read from its definition.

A definition that cannot be loaded is its own pipeline's trouble: the others have their DAGs.

`feature_store.definition` and `feature_store.definitions` import only the standard library, so
that this costs milliseconds in an environment without Spark and torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from feature_store.definitions import load_all

START_DELAY = timedelta(minutes=30)
"""A night starts this long after its cut-off, when what was known by then has arrived."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """One pipeline as the scheduler sees it."""

    name: str
    description: str
    owner: str
    first_day: date
    last_day: date | None
    """The last day there is, for data that ended; a night after it is never scheduled."""
    cutoff_hours: int
    deadline_hours: int
    label_days: int = 0
    """Days after a day until whose cut-off its outcome is settled; 0 if its rows tell the label."""

    @property
    def start_date(self) -> datetime:
        """The first night's midnight, UTC."""
        return _midnight(self.first_day)

    @property
    def end_date(self) -> datetime | None:
        """The last instant of the last day."""
        if self.last_day is None:
            return None
        return _midnight(self.last_day) + timedelta(days=1, microseconds=-1)

    @property
    def start_after_midnight(self) -> timedelta:
        """How long after the midnight that begins `ds` its night starts.

        A cut-off before midnight still waits for it: `{{ ds }}` must be the day that is scored.
        """
        return timedelta(hours=max(0, self.cutoff_hours)) + START_DELAY

    @property
    def deadline(self) -> timedelta:
        """How long after the midnight that begins `ds` its scores are due."""
        due = timedelta(hours=self.cutoff_hours + self.deadline_hours)
        return max(due, self.start_after_midnight + timedelta(minutes=1))

    def asset(self, kind: str) -> str:
        """Return the URI of what the pipeline publishes: `scores`, `models`, `training-wanted`."""
        return f"nightscore://{kind}/{self.name}"


def pipelines() -> Iterator[Pipeline]:
    """Yield every pipeline whose definition can be loaded, by name."""
    sound, _ = load_all()
    for name, definition in sound.items():
        yield Pipeline(
            name=name,
            description=definition.description,
            owner=definition.owner,
            first_day=definition.first_day,
            last_day=definition.last_day,
            cutoff_hours=definition.cutoff_hours,
            deadline_hours=definition.deadline_hours,
            label_days=definition.label_days,
        )


def broken_pipelines() -> Iterator[tuple[Pipeline, str]]:
    """Yield every pipeline whose definition cannot be loaded, and why, by name.

    All that is known of it is its name; the rest is what a definition says by default.
    """
    _, broken = load_all()
    for name, error in broken.items():
        # The address of an object differs at every parse, and would make a new version of the DAG.
        why = re.sub(r" at 0x[0-9a-f]+", "", str(error))
        yield (
            Pipeline(
                # Of the file, which nothing has checked: Airflow takes no other characters.
                name=re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:80],
                description="Its definition cannot be loaded",
                owner="nightscore",
                first_day=date(2013, 1, 1),
                last_day=None,
                cutoff_hours=0,
                deadline_hours=6,
            ),
            why,
        )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
