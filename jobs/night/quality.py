"""Steps `check features` and `check scores`: the gate before publication, and its record."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.errors import CheckFailed
from feature_store.quality.checks import CheckResult, run_checks
from feature_store.schema import FEATURES, QUALITY, RUN_ID, SCORES
from feature_store.tables.inputs import Inputs
from feature_store.tables.warehouse import days_predicate, runs_predicate
from jobs.night.outdated import retried
from jobs.version import code_version

if TYPE_CHECKING:
    from jobs.context import Context

log = logging.getLogger(__name__)

Stage = Literal["features", "scores"]
Results = dict[date, list[CheckResult]]

_SCHEMA = (
    "ds date, stage string, run_id string, check string, column string, passed boolean, "
    "observed string, expected string, bad_rows bigint, rows bigint"
)


def check_features(context: Context, days: Sequence[date]) -> Results:
    """Check days of features one by one, and record every result in one commit.

    Raises:
        PartitionNotReady: there are no features of some day.
    """
    context.warehouse.pins(FEATURES, days)
    features = context.warehouse.read(FEATURES, days)
    results = {
        day: run_checks(features.where(days_predicate([day])), context.definition, "features", day)
        for day in days
    }
    versions = {day: context.warehouse.commit(FEATURES, day) for day in days}
    _record(context, "features", results, {d: f"v{c.version}" for d, c in versions.items() if c})
    return results


def check_scores(context: Context, runs: Mapping[date, str]) -> Results:
    """Check the staged scores of runs (day -> run id), and record every result in one commit.

    The first check of a day is that there is one score for every row of features.
    """
    scores = context.warehouse.read(SCORES, list(runs))
    results = {}
    for day, run_id in runs.items():
        frame = scores.where(runs_predicate({day: run_id}, RUN_ID))
        checked = run_checks(frame, context.definition, "scores", day)
        results[day] = [audit_rows(context, day, run_id), *checked]
    _record(context, "scores", results, runs)
    return results


def require_passed(context: Context, stage: Stage, day: date, results: Results) -> int:
    """Return how many checks passed.

    Raises:
        CheckFailed: one did not; names check, column and rows.
    """
    failed = [result for result in results[day] if not result.passed]
    if failed:
        raise CheckFailed(failure_text(context.definition.name, day, stage, failed))
    return len(results[day])


def audit_rows(context: Context, day: date, run_id: str) -> CheckResult:
    """Return whether there is one score for every row of features, from the commits' counts."""
    features = context.warehouse.commit(FEATURES, day)
    scores = context.warehouse.commit(SCORES, day, run_id)
    wanted, got = (features.rows if features else 0), (scores.rows if scores else 0)
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


def _record(context: Context, stage: Stage, results: Results, runs: Mapping[date, str]) -> None:
    rows = [
        (
            *(day, stage, runs[day]),
            *(r.name, r.column, r.passed, r.observed, r.expected, r.bad_rows, r.rows),
        )
        for day, checked in results.items()
        for r in checked
    ]
    retried(
        lambda: context.warehouse.replace_days(
            QUALITY,
            context.spark.createDataFrame(rows, _SCHEMA),
            {day: Inputs(definition=runs[day], code=code_version()) for day in results},
            runs=dict.fromkeys(results, stage),
            run_column="stage",
        )
    )
    failed = sum(not r.passed for checked in results.values() for r in checked)
    log.info("step=check_%s days=%d checks=%d failed=%d", stage, len(results), len(rows), failed)
