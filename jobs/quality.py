"""Steps `check features` and `check scores`: the gate before publication, and its record."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Literal

from feature_store.checks import CheckResult, run_checks
from feature_store.errors import CheckFailed
from feature_store.inputs import Inputs
from feature_store.schema import FEATURES, QUALITY, SCORES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from jobs.context import Context

log = logging.getLogger(__name__)

Stage = Literal["features", "scores"]

_SCHEMA = (
    "ds date, stage string, run_id string, check string, column string, passed boolean, "
    "observed string, expected string, bad_rows bigint, rows bigint"
)


def check_features(context: Context, day: date) -> list[CheckResult]:
    """Check a day of features and record every result.

    Raises:
        CheckFailed: a check failed; names check, column and rows.
    """
    commit = context.warehouse.commit(FEATURES, day)
    version = commit.version if commit else 0
    frame = context.warehouse.read(FEATURES, [day])
    return _check(context, frame, "features", day, f"v{version}")


def check_scores(context: Context, day: date, run_id: str) -> list[CheckResult]:
    """Check the staged scores of a run, one for each row of features, and record every result.

    Raises:
        CheckFailed: a check failed; names check, column and rows.
    """
    frame = context.warehouse.read(SCORES, [day]).where(f"run_id = '{run_id}'")
    audit = audit_rows(context, day, run_id)
    return _check(context, frame, "scores", day, run_id, [audit])


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


def _check(
    context: Context,
    frame: DataFrame,
    stage: Stage,
    day: date,
    run_id: str,
    further: Sequence[CheckResult] = (),
) -> list[CheckResult]:
    results = [*further, *run_checks(frame, context.definition, stage, day)]
    _record(context, stage, day, run_id, results)
    failed = [result for result in results if not result.passed]
    log.info("step=check_%s ds=%s checks=%d failed=%d", stage, day, len(results), len(failed))
    if failed:
        raise CheckFailed(failure_text(context.definition.name, day, stage, failed))
    return results


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


def _record(
    context: Context, stage: Stage, day: date, run_id: str, results: Sequence[CheckResult]
) -> None:
    rows = [
        (day, stage, run_id, r.name, r.column, r.passed, r.observed, r.expected, r.bad_rows, r.rows)
        for r in results
    ]
    frame = context.spark.createDataFrame(rows, _SCHEMA)
    inputs = Inputs(definition=run_id, code=context.code)
    context.warehouse.replace_days(
        QUALITY, frame, {day: inputs}, run_id=stage, partitions={"stage": stage}
    )
