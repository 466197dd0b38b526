"""Promises of a check's severity: one that blocks stops the night, one that warns is on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store.definition import Check
from feature_store.definition.parts import plain
from feature_store.errors import CheckFailed, DefinitionError
from feature_store.quality.checks import CheckResult
from jobs.night.quality import DayChecks, _result, checked_inputs, require_passed
from tests.toy import Row, changed, toy_definition

DAY = date(2026, 1, 1)
TOY = toy_definition([Row(day=0, user="u", item="i")])
CONTEXT: Any = SimpleNamespace(definition=TOY)


def result(name: str, *, passed: bool, severity: str = "block") -> CheckResult:
    return CheckResult(
        name=name, stage="features", column="price", passed=passed, observed="-1", expected=">= 0",
        bad_rows=int(not passed), rows=20, severity=severity,  # type: ignore[arg-type]
    )  # fmt: skip


def checked(*results: CheckResult) -> dict[date, DayChecks]:
    of = checked_inputs(TOY, "features", ())
    return {DAY: DayChecks(of=of, run="v1", results=results)}


def test_a_failed_check_that_warns_lets_the_night_go_on_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = checked(
        result("between(price)", passed=False, severity="warn"), result("rows", passed=True)
    )
    proof = require_passed(CONTEXT, "features", DAY, found)
    assert proof.checks == 1, "what warned has not passed"
    assert "warned=between(price)" in caplog.text


def test_a_failed_check_that_blocks_stops_the_night_and_names_no_other() -> None:
    found = checked(
        result("between(price)", passed=False, severity="warn"), result("rows", passed=False)
    )
    with pytest.raises(CheckFailed, match="1 of the checks on features failed: rows ") as failed:
        require_passed(CONTEXT, "features", DAY, found)
    assert "between(price)" not in str(failed.value)


@pytest.mark.parametrize("told", [{}, {"severity": None}])
def test_what_was_recorded_before_checks_could_warn_blocks(told: dict[str, Any]) -> None:
    row = {
        "check": "rows", "stage": "features", "column": "", "passed": False, "observed": "",
        "expected": "", "bad_rows": 1, "rows": 1, "ds": DAY, "run_id": "v1",
    }  # fmt: skip
    assert _result(row | told).blocks
    assert not _result(row | {"severity": "warn"}).blocks


def test_a_severity_is_block_or_warn() -> None:
    check = Check(stage="features", kind="row_count", severity="maybe")  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="severity='maybe': must be one of 'block', 'warn'"):
        changed(TOY, checks=(check,))


def test_a_check_that_blocks_is_told_as_it_was_before_there_were_others() -> None:
    """So that what was checked by the same rules counts."""
    blocks = Check(stage="features", kind="row_count", minimum=1)
    assert "severity" not in plain(blocks)
    assert plain(replace(blocks, severity="warn"))["severity"] == "warn"
