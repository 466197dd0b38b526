"""Steps `check features` and `check scores`: the gate before publication, and its record.

A record says what was checked: which features, by their pins, or which run, and by which rules. It
counts for exactly that. After another driver built the features anew, or somebody changed a check,
there is no record, and nothing can be published until there is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import functions as F

from feature_store.definition import json_digest, plain
from feature_store.errors import CheckFailed, InputsReplaced, RunRemoved
from feature_store.quality.checks import CheckResult, run_checks
from feature_store.schema import FEATURES, QUALITY, RUN_ID, SCORES
from feature_store.tables.inputs import Inputs, Pins
from feature_store.tables.warehouse import days_predicate, runs_predicate
from jobs.night.expected import pins
from jobs.night.outdated import retried
from jobs.version import code_version

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context

log = logging.getLogger(__name__)

Stage = Literal["features", "scores"]

_SCHEMA = (
    "ds date, stage string, run_id string, check string, column string, passed boolean, "
    "observed string, expected string, bad_rows bigint, rows bigint, severity string"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DayChecks:
    """What the checks of one stage found on one day."""

    of: Inputs
    """What was checked, and by which rules."""
    run: str
    """The run of the scores, or the version of the features, for whoever reads the record."""
    results: tuple[CheckResult, ...]


Results = dict[date, DayChecks]

_TOLD = ("stage", "column", "passed", "observed", "expected", "bad_rows", "rows")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The proof that every check of a stage passed that can stop a night, and on what."""

    stage: Stage
    of: Inputs
    checks: int
    """How many passed."""

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON-ready data."""
        of = json.loads(self.of.to_json())
        return {"stage": self.stage, "checks": self.checks, "of": of}


def checked_inputs(definition: Definition, stage: Stage, features: Pins, run: str = "") -> Inputs:
    """Return what a record of checks has to be of, for it to count.

    Args:
        definition: whose checks.
        stage: which of them.
        features: pins of the day's features, which the scores are made of as well.
        run: the run that the scores are of; empty for features.
    """
    rules = [plain(check) for check in definition.checks if check.stage == stage]
    return Inputs(
        definition=json_digest(rules),
        code=code_version(),
        source=run,
        pins={FEATURES: features},
    )


def check_features(context: Context, days: Sequence[date]) -> Results:
    """Check days of features one by one; `record` keeps what was found.

    Raises:
        PartitionNotReady: there are no features of some day.
    """
    with context.warehouse.held():
        # One look: what is written down as checked is what is read.
        made_of = {day: pins(context, FEATURES, [day]) for day in days}
        commits = context.warehouse.commits(FEATURES)
        features = context.warehouse.read(FEATURES, days)
    results = {}
    for day in days:
        frame = features.where(days_predicate([day]))
        found = run_checks(frame, context.definition, "features", day)
        of = checked_inputs(context.definition, "features", made_of[day])
        run = f"v{commits[FEATURES, day, ''].version}"
        results[day] = DayChecks(of=of, run=run, results=tuple(found))
    return results


def check_scores(context: Context, runs: Mapping[date, str]) -> Results:
    """Check the staged scores of runs (day -> run id); `record` keeps what was found.

    The first check of a day is that there is one score for every row of features.

    Raises:
        RunRemoved: maintenance removed the scores of a run.
        InputsReplaced: the features of a day are no longer those that its run is of.
    """
    with context.warehouse.held():
        audited = {day: audit_rows(context, day, run_id) for day, run_id in runs.items()}
        made_of = {day: pins(context, FEATURES, [day]) for day in runs}
        scores = context.warehouse.read(SCORES, list(runs))
    results = {}
    for day, run_id in runs.items():
        frame = scores.where(runs_predicate([(day, run_id)], RUN_ID))
        found = run_checks(frame, context.definition, "scores", day)
        of = checked_inputs(context.definition, "scores", made_of[day], run_id)
        results[day] = DayChecks(of=of, run=run_id, results=(audited[day], *found))
    return results


def require_passed(context: Context, stage: Stage, day: date, results: Results) -> Checked:
    """Return the proof that all checks of a day passed, but for those that only warn.

    Raises:
        CheckFailed: one did not; names check, column and rows.
    """
    return _proof(context, stage, day, results[day].of, results[day].results)


def recorded(context: Context, stage: Stage, day: date, of: Inputs) -> Checked | None:
    """Return the proof that a record holds; None if there is no record of exactly this.

    Raises:
        CheckFailed: it was checked, and did not pass.
    """
    with context.warehouse.held():
        commit = context.warehouse.commit(QUALITY, day, stage)
        if commit is None or commit.inputs != of:
            return None
        rows = context.warehouse.read(QUALITY, [day]).where(F.col("stage") == stage)
    return _proof(context, stage, day, of, [_result(row.asDict()) for row in rows.collect()])


def _result(row: dict[str, Any]) -> CheckResult:
    """Return a result that was recorded, perhaps before checks had a severity: all blocked then."""
    told = {name: row[name] for name in _TOLD}
    return CheckResult(name=row["check"], severity=row.get("severity") or "block", **told)


def audit_rows(context: Context, day: date, run_id: str) -> CheckResult:
    """Return whether there is one score for every row of features, from the commits' counts.

    Raises:
        RunRemoved: maintenance removed the scores of the run.
        InputsReplaced: the features are no longer those that the run is of.
    """
    features = context.warehouse.commit(FEATURES, day)
    scores = context.warehouse.commit(SCORES, day, run_id)
    what = f"{context.definition.name} ds={day}"
    if scores is None or (scores.rows == 0 and features is not None and features.rows):
        raise RunRemoved(f"{what}: run {run_id} has no scores: maintenance removed them. Run again")
    if scores.inputs.pins.get(FEATURES) != pins(context, FEATURES, [day]):
        raise InputsReplaced(
            f"{what}: another driver replaced the features that run {run_id} was made of. "
            "Nothing was published. Run again"
        )
    wanted, got = (features.rows if features else 0), scores.rows
    return CheckResult(
        name="one_score_per_row",
        stage="scores",
        column="",
        passed=wanted == got and got > 0,
        observed=str(got),
        expected=str(wanted),
        bad_rows=abs(wanted - got),
        rows=wanted,
    )


def failure_text(pipeline: str, day: date, stage: str, failed: Sequence[CheckResult]) -> str:
    """Return which checks failed, on which column, for how many rows, and what to do."""
    listed = "; ".join(
        f"{r.name} column={r.column or '-'} observed={r.observed} expected={r.expected} "
        f"bad_rows={r.bad_rows} of {r.rows}"
        for r in failed
    )
    return (
        f"{pipeline} ds={day}: {len(failed)} of the checks on {stage} failed: {listed}. "
        "Nothing was published; the scores published before stay readable. "
        f"See: nightscore report --pipeline {pipeline} --ds {day}"
    )


def _proof(
    context: Context, stage: Stage, day: date, of: Inputs, results: Sequence[CheckResult]
) -> Checked:
    failed = [result for result in results if result.blocks]
    if failed:
        raise CheckFailed(failure_text(context.definition.name, day, stage, failed))
    warned = [result.name for result in results if not result.passed]
    if warned:
        log.warning("step=check ds=%s stage=%s warned=%s", day, stage, ", ".join(warned))
    return Checked(stage=stage, of=of, checks=sum(result.passed for result in results))


def record(context: Context, checked: Mapping[tuple[date, Stage], DayChecks]) -> None:
    """Keep what checks found, in one commit."""
    rows = [
        (
            *(day, stage, found.run),
            *(r.name, r.column, r.passed, r.observed, r.expected, r.bad_rows, r.rows, r.severity),
        )
        for (day, stage), found in checked.items()
        for r in found.results
    ]
    retried(
        lambda: context.warehouse.replace_runs(
            QUALITY,
            context.spark.createDataFrame(rows, _SCHEMA),
            {key: found.of for key, found in checked.items()},
            run_column="stage",
        )
    )
    failed = sum(not r.passed for found in checked.values() for r in found.results)
    days = {day for day, _ in checked}
    log.info("step=check days=%d checks=%d failed=%d", len(days), len(rows), failed)
