"""What the verdict says of faulty nights and of clean ones: found when, missed, false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from typing import Literal

import numpy as np

from jobs.report.nights import Labelled, NightRecord
from jobs.report.realised import realised
from jobs.report.verdict import Verdict, judge
from tests.nights import facts, publication, record, scores_against
from tests.quality.faults import Fault
from tests.quality.nights import Night, clean

When = Literal["that night", "with its labels", "missed"]
FIRST = date(2026, 1, 1)
NIGHTS_BEFORE = 14


@dataclass(kw_only=True, slots=True)
class Tally:
    """How often a kind of fault was found, and when."""

    fault: str
    rows: int
    when: Counter[When] = field(default_factory=Counter)

    @property
    def found(self) -> float:
        """The share that was found."""
        return 1 - self.when["missed"] / self.when.total()


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarms:
    """False alarms over clean nights."""

    rows: int
    nights: int
    that_night: int
    with_labels: int


def tally(fault: Fault, rows: int, tries: int) -> Tally:
    """Return how often a fault is found in so many nights, after two weeks of clean ones."""
    found = Tally(fault=fault.name, rows=rows)
    for number in range(tries):
        seed = 1_000 * number + rows
        before = [_clean(seed + i, rows) for i in range(NIGHTS_BEFORE)]
        rng = np.random.default_rng(seed + 999)
        spoilt = fault.inject(rng, clean(seed + 500, rows), before[-1][0])
        early, late = verdicts(spoilt, before)
        if early.level != "good":
            found.when["that night"] += 1
        else:
            found.when["missed" if late.level == "good" else "with its labels"] += 1
    return found


def alarms(rows: int, nights: int) -> Alarms:
    """Return how many clean nights in a row are not green, before and after their labels."""
    past = [_clean(7_000_000 + i, rows) for i in range(nights + NIGHTS_BEFORE)]
    early = late = 0
    for i in range(NIGHTS_BEFORE, len(past)):
        first, second = verdicts(past[i][0], past[i - NIGHTS_BEFORE : i])
        early += first.level != "good"
        late += second.level != "good"
    return Alarms(rows=rows, nights=nights, that_night=early, with_labels=late)


def verdicts(night: Night, before: Sequence[tuple[Night, Labelled]]) -> tuple[Verdict, Verdict]:
    """Return the verdict on a night on the morning after it, and once its labels are known.

    On that morning the labels of the nights before are known, but for the last of them.
    """
    day = FIRST + timedelta(days=len(before))
    records = [_record(FIRST + timedelta(days=i), known, i) for i, (_, known) in enumerate(before)]
    drawn = scores_against(night.scores, [one.scores for one, _ in before[-7:]])
    morning = facts(
        ds=day, publications=[publication(day)], past=records[:-1], scores=(drawn,)
    )  # fmt: skip
    return judge(morning), judge(replace(morning, labelled=_labelled(night), past=records))


@cache
def _clean(seed: int, rows: int) -> tuple[Night, Labelled]:
    night = clean(seed, rows)
    return night, _labelled(night)


def _record(day: date, known: Labelled, place: int) -> NightRecord:
    return replace(record(0, None), ds=day, labelled=known, run_id=f"run{place}")


def _labelled(night: Night) -> Labelled:
    known = ~np.isnan(night.labels)
    return Labelled(
        state="s", by_label={"clicked": realised(night.labels[known], night.scores[known])}
    )
