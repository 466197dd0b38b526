"""Days on their way through the steps: what was asked, how far each day is, and how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.errors import NightscoreError, PartitionNotReady, PublishFenced
from feature_store.schema import FEATURES, SCORES
from jobs.night.known_late import unknown_days, why_unknown
from jobs.night.ledger import Past, is_same_work, pasts
from jobs.night.publish import has_scores
from jobs.night.quality import (
    Checked,
    DayChecks,
    Results,
    Stage,
    check_features,
    check_scores,
    checked_inputs,
    record,
    recorded,
    require_passed,
)
from jobs.night.reach import days_read, source_days
from jobs.night.refused import has_earlier, refusals
from jobs.night.score import ScoringRun, plan_run

if TYPE_CHECKING:
    from feature_store.tables.commits import DayCommit
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.registry.model_registry import ModelRef

log = logging.getLogger(__name__)

Outcome = Literal["published", "already published", "failed", "overtaken"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be done with days, and who asked."""

    model: ModelRef | None = None
    """What scores them; None where the work ends before that."""
    force: bool = False
    allow_older_model: bool = False
    who: str = ""
    why: str = ""
    fetches_history: bool = False
    """Whether days that only history windows read are ingested if they never were, and whether an
    earlier delivery of a day does where the newest is bad. A night does neither: its own day has to
    be good, and what is missing before it is not an hour's work to begin inside its deadline."""
    raises: bool = False
    """Whether the first day that fails ends the work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayEnd:
    """How one day ended."""

    ds: date
    outcome: Outcome
    rows: int = 0
    run_id: str = ""
    checks: int = 0
    """Checks that what was published passed; 0 for a day that was done already."""
    error: NightscoreError | None = None
    detail: str = ""
    """What failed, or who overtook."""
    notes: tuple[str, ...] = ()
    """What to know of what its scores were made of."""


@dataclass(kw_only=True)
class Work:
    """Some days of one pipeline on their way through the steps."""

    context: Context
    asked: Asked
    left: list[date]
    """The days that have not ended, oldest first."""
    on_end: Callable[[DayEnd], None] = lambda _: None
    on_progress: Callable[[str], None] = lambda _: None
    fences: dict[date, int] = field(default_factory=dict)
    """The newest sequence of each day when the work on it began."""
    runs: dict[date, ScoringRun] = field(default_factory=dict)
    staged: dict[date, DayCommit] = field(default_factory=dict)
    checked: dict[tuple[date, Stage], Checked] = field(default_factory=dict)
    unrecorded: dict[tuple[date, Stage], DayChecks] = field(default_factory=dict)
    """What checks found and no table says yet."""
    ended: dict[date, DayEnd] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """What each step came to, in a few words."""
    is_new: bool = False
    """Whether the source had something new."""
    gone: set[date] = field(default_factory=set)
    """Days whose events are used although the source no longer has them."""
    rows_of_features: int = 0
    days_built: int = 0

    def part(self, days: Sequence[date]) -> Work:
        """Return the work on some of the days, which ends them here as well."""

        def end(ended: DayEnd) -> None:
            self.end(ended)

        fences = {day: self.fences[day] for day in days if day in self.fences}
        return Work(
            context=self.context, asked=self.asked, left=list(days), on_end=end,
            on_progress=self.on_progress, fences=fences, gone=self.gone,
        )  # fmt: skip

    def end(self, ended: DayEnd) -> None:
        """Take a day out of the work."""
        self.left = [day for day in self.left if day != ended.ds]
        self.ended[ended.ds] = ended
        self.on_end(ended)

    def fail(self, day: date, error: NightscoreError, detail: str = "") -> None:
        """End a day that cannot go on; raise where one such day is to end the work.

        Args:
            day: the day.
            error: why.
            detail: the same in other words, where the cause is another day.
        """
        outcome: Outcome = "overtaken" if isinstance(error, PublishFenced) else "failed"
        text = detail or str(error)
        self.end(DayEnd(ds=day, outcome=outcome, error=error, detail=text, notes=self.notes(day)))
        if self.asked.raises:
            raise error

    def notes(self, day: date) -> tuple[str, ...]:
        """Return what to know of what a day's features are made of, or would have been."""
        needed = source_days(self.context, day)
        told = []
        for found in refusals(self.context, days_read(self.context, day)):
            if has_earlier(self.context, found.table, found.ds):
                told.append(str(found))
            elif (found.table, found.ds) not in needed:
                told.append(f"{found.table} {found.ds}: refused, made without it: {found.why}")
        return tuple(told)

    def plan(self) -> None:
        """Decide which run makes each day's scores, and end the days that need none.

        From here on it is decided what is scored: checks, scores and publication are of this run.
        """
        past = pasts(self.context, self.left)
        for day in list(self.left):
            of_day = past.get(day, Past())
            run = plan_run(self.context, day, self._model, of_day.removed)
            self.fences.setdefault(day, of_day.sequence)
            try:
                done = finished(self.context, run, of_day, force=self.asked.force)
            except PublishFenced as error:
                self.fail(day, error)
                continue
            if done is None:
                self.runs[day] = run
                continue
            log.info("night=score ds=%s run_id=%s already published", day, done.run_id)
            self.end(
                DayEnd(
                    ds=day,
                    outcome="already published",
                    rows=done.rows,
                    run_id=done.run_id,
                    notes=self.notes(day),
                )
            )

    def plan_again(self) -> None:
        """Forget what was decided of the days that are left: what it rested on has changed."""
        self.runs.clear()
        self.staged.clear()
        self.checked.clear()

    def end_unknown(self) -> None:
        """End the days that have nothing to score, with the reason."""
        for day, error in why_unknown(self.context, unknown_days(self.context, self.left)).items():
            self.fail(day, error)

    def require_written(self, table: str) -> None:
        """Do nothing if a table has every day that is left.

        Raises:
            PartitionNotReady: some were never written; says what to run.
        """
        commits, name = self.context.warehouse.commits(table), self.context.definition.name
        missing = [day for day in self.left if (table, day, "") not in commits]
        if missing:
            step = f"--from {missing[0]} --to {missing[-1]}"
            raise PartitionNotReady(
                table, missing, f"Run: nightscore prepare --pipeline {name} {step}"
            )

    def require_staged(self) -> None:
        """Find the staged scores of every run.

        Raises:
            PartitionNotReady: a run is not scored.
        """
        commits = self.context.warehouse.commits(SCORES)
        for day in self.left:
            run = self.runs[day]
            staged = commits.get((SCORES, day, run.run_id))
            if day not in self.staged and (staged is None or staged.rows == 0):
                step = f"Run {run.run_id} ({run.model.title}) is not scored yet: repeat the step"
                raise PartitionNotReady(SCORES, [day], f"{step} `score`")
            if staged is not None:
                self.staged[day] = staged

    def require_checked(self, stage: Stage) -> None:
        """Have the proof that the features, or the scores, of every run passed their checks.

        What no record says of exactly these rows and rules is checked now; what did not pass ends.
        """
        unknown = []
        for day in [day for day in self.left if (day, stage) not in self.checked]:
            run = self.runs[day]
            features = run.inputs.pins[FEATURES]
            of = checked_inputs(
                self.context.definition, stage, features, run.run_id if stage == "scores" else ""
            )
            try:
                proof = recorded(self.context, stage, day, of)
            except NightscoreError as error:
                self.fail(day, error)
                continue
            if proof is None:
                unknown.append(day)
            else:
                self.checked[day, stage] = proof
        if unknown:
            self.check(stage, unknown)

    def check(self, stage: Stage, days: Sequence[date]) -> None:
        """Run the checks of a stage on days, keep the proofs, and end the days that fail."""
        results: Results
        if stage == "features":
            results = check_features(self.context, days)
        else:
            results = check_scores(self.context, {day: self.runs[day].run_id for day in days})
        self.unrecorded |= {(day, stage): found for day, found in results.items()}
        for day in days:
            try:
                self.checked[day, stage] = require_passed(self.context, stage, day, results)
            except NightscoreError as error:
                self.fail(day, error)

    def record_checks(self) -> None:
        """Write down what checks found since the last call: the stages of a night in one commit."""
        if self.unrecorded:
            record(self.context, self.unrecorded)
            self.unrecorded.clear()

    @property
    def _model(self) -> ModelRef:
        assert self.asked.model is not None  # noqa: S101 - the work ends before it without one
        return self.asked.model


def finished(context: Context, run: ScoringRun, past: Past, *, force: bool) -> Publication | None:
    """Return the publication that makes a run unnecessary, or None.

    Raises:
        PublishFenced: the run was published once and rolled back on purpose.
    """
    now = past.now
    if force or now is None or not has_scores(context, now):
        return None
    if is_same_work(now.run_id, run.run_id):
        return now
    if any(is_same_work(p.run_id, run.run_id) for p in past.publications):
        raise PublishFenced(
            f"{context.definition.name} ds={run.ds}: run {run.run_id} was published before and "
            f"replaced by {now.run_id} (by {now.who}: {now.why}). "
            "Use --force to publish it again"
        )
    return None
