"""Run a definition's checks on one day through Great Expectations; every result is a record."""

from __future__ import annotations

import functools
import operator
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from feature_store.errors import CheckFailed

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Check, Definition
    from feature_store.definition.parts import Severity

_OF_VALUES = frozenset({"between", "in_set", "unique", "mean_between"})
"""Kinds of check that a row without a value neither keeps nor breaks."""

_LARGEST = sys.float_info.max


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What one check found on one day."""

    name: str
    stage: str
    column: str
    passed: bool
    observed: str
    """What was found, in words; empty for a passed check that needed no number."""
    expected: str
    bad_rows: int
    rows: int
    """Rows that the rule is about: those of the day that have a value, or all of them."""
    severity: Severity = "block"
    """Whether a failure stops the night."""

    @property
    def blocks(self) -> bool:
        """Whether nothing may be published because of it."""
        return not self.passed and self.severity == "block"


def load_early() -> None:
    """Import Great Expectations beside whatever else goes on: it takes seconds, and Spark waits.

    An import that fails fails again, and is told, where it is needed.
    """
    threading.Thread(target=_great_expectations, daemon=True).start()


def run_checks(
    df: DataFrame, definition: Definition, stage: Literal["features", "scores"], ds: date
) -> list[CheckResult]:
    """Return one result per check of the stage, in the definition's order; a failure is a result.

    All checks run in one batch that only says yes or no; those that failed run again for their
    counts. A check that cannot be computed has failed, and says why. So has one about values on a
    day that has rows and not one value: it has looked at nothing.

    Args:
        df: the rows of the one day `ds`.
        definition: whose checks to run.
        stage: which of them.
        ds: the day, for the name of the run.

    Raises:
        CheckFailed: a column that a check names is not there.
    """
    checks = [check for check in definition.checks if check.stage == stage]
    if not checks:
        return []
    columns = sorted({name for check in checks for name in check.columns}) or df.columns[:1]
    missing = [name for name in columns if name not in df.columns]
    if missing:
        raise CheckFailed(
            f"{definition.name}: {stage} of ds={ds} lack the column {', '.join(missing)} that a "
            f"check names; there are {', '.join(df.columns)}. Build the day again."
        )
    cached = df.select(*columns).persist()
    try:
        counted = _count(cached, checks)
        batch = _batch(cached, f"{definition.name}-{stage}-{ds.isoformat()}")
        types = dict(cached.dtypes)
        passed = [found["success"] for found in _validate(batch, checks, types, "BOOLEAN_ONLY")]
        asked = list(zip(checks, passed, counted, strict=True))
        failed = [check for check, good, _ in asked if not good]
        details = iter(_validate(batch, failed, types, "SUMMARY") if failed else [])
        results = []
        for check, good, count in asked:
            found = None if good else next(details)
            if count.is_without_values:
                results.append(_without_values(check, count))
            else:
                results.append(_failed(check, found, count) if found else _passed(check, count))
        return results
    finally:
        cached.unpersist()


def expected_text(check: Check) -> str:
    """Return a check's rule in words, such as `0 <= temp <= 110 for 99%`."""
    name = ", ".join(check.columns)
    low = "" if check.minimum is None else f"{check.minimum:g} <= "
    high = "" if check.maximum is None else f" <= {check.maximum:g}"
    text = {
        "row_count": f"{low or '1 <= '}rows{high}",
        "not_null": f"{name} not null",
        "between": f"{low}{name}{high}, finite",
        "in_set": f"{name} in {{{', '.join(check.values)}}}",
        "unique": f"({name}) unique",
        "mean_between": f"{low}mean({name}){high}",
    }[check.kind]
    of = "the rows that have a value" if check.kind in _OF_VALUES else "rows"
    return text if check.mostly == 1.0 else f"{text} for {check.mostly:.2%} of {of}"


@dataclass(frozen=True, slots=True)
class _Count:
    """The rows of a day, and those that a check is about."""

    rows: int
    about: int

    @property
    def is_without_values(self) -> bool:
        """Whether there are rows and none of them has what the check is about."""
        return self.rows > 0 and self.about == 0


def _count(df: DataFrame, checks: Sequence[Check]) -> list[_Count]:
    """Return the counts of each check, from one pass over the rows."""
    from pyspark.sql import functions as F

    def about(check: Check) -> Column:
        if check.kind not in _OF_VALUES:
            return F.count(F.lit(1))
        has_value = (F.col(name).isNotNull() for name in check.columns)
        return F.count(F.when(functools.reduce(operator.or_, has_value), 1))

    counted = df.agg(F.count(F.lit(1)), *(about(check) for check in checks)).first()
    rows, *each = counted or (0, *(0 for _ in checks))
    return [_Count(rows, count) for count in each]


def _passed(check: Check, count: _Count) -> CheckResult:
    observed = f"{count.rows} rows" if check.kind == "row_count" else ""
    return _result(check, True, observed, 0, count.about)


def _without_values(check: Check, count: _Count) -> CheckResult:
    columns = ", ".join(check.columns)
    observed = f"none of the {count.rows} rows has a value of {columns}: nothing to look at"
    return _result(check, False, observed, count.rows, count.rows)


def _failed(check: Check, found: dict[str, Any], count: _Count) -> CheckResult:
    result = found.get("result") or {}
    error = _exception_text(found.get("exception_info"))
    bad = int(result.get("unexpected_count") or 0)
    if error:
        observed = f"could not be computed: {error}"
    elif "observed_value" in result:
        observed = f"{result['observed_value']}"
    else:
        share = bad / count.about if count.about else 0.0
        examples = result.get("partial_unexpected_list") or []
        of = "rows" if count.about == count.rows else f"rows that have a value (of {count.rows})"
        observed = f"{bad} of {count.about} {of}, {share:.2%}, break it, such as {examples[:3]}"
    return _result(check, False, observed, bad, count.about)


def _result(check: Check, passed: bool, observed: str, bad: int, rows: int) -> CheckResult:
    return CheckResult(
        name=check.title,
        stage=check.stage,
        column=", ".join(check.columns),
        passed=passed,
        observed=observed,
        expected=expected_text(check),
        bad_rows=bad,
        rows=rows,
        severity=check.severity,
    )


def _exception_text(info: Any) -> str:
    """Return the first exception message in a result, which is flat or one entry per metric."""
    if not info:
        return ""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry.get("raised_exception"):
            return str(entry.get("exception_message")).strip().splitlines()[0]
    return ""


def _great_expectations() -> Any:
    """Import Great Expectations with its analytics and progress bars off (it would use the net)."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    os.environ.setdefault("TQDM_DISABLE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations

    return great_expectations


def _batch(df: DataFrame, name: str) -> Any:
    context = _great_expectations().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    # persist=False: we cache and free the frame ourselves; GX would never free it.
    source = context.data_sources.add_spark(name, persist=False)
    asset = source.add_dataframe_asset(name)
    return asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": df})


def _validate(
    batch: Any, checks: Sequence[Check], types: dict[str, str], result_format: str
) -> list[dict[str, Any]]:
    """Return the results in the order of `checks` (GX groups its own by column)."""
    gx = _great_expectations()
    expectations = [_expectation(gx.expectations, check, types) for check in checks]
    for number, expectation in enumerate(expectations):
        expectation.meta = {"number": number}
    suite = gx.ExpectationSuite(name=f"{batch.datasource.name}-{result_format}")
    suite.expectations = expectations
    found = batch.validate(suite, result_format=result_format)
    results = [result.to_json_dict() for result in found.results]
    return sorted(results, key=lambda r: int(r["expectation_config"]["meta"]["number"]))


def _expectation(expect: Any, check: Check, types: dict[str, str]) -> Any:
    column = check.columns[0] if check.columns else ""
    low, high = check.minimum, check.maximum
    if check.kind == "row_count":
        return expect.ExpectTableRowCountToBeBetween(
            min_value=1 if low is None else int(low), max_value=None if high is None else int(high)
        )
    if check.kind == "not_null":
        return expect.ExpectColumnValuesToNotBeNull(column=column, mostly=check.mostly)
    if check.kind == "between":
        # Spark sorts NaN above infinity: with both bounds finite, neither passes.
        return expect.ExpectColumnValuesToBeBetween(
            column=column,
            min_value=-_LARGEST if low is None else low,
            max_value=_LARGEST if high is None else high,
            mostly=check.mostly,
        )
    if check.kind == "in_set":
        values = _typed_values(check.values, types[column])
        return expect.ExpectColumnValuesToBeInSet(
            column=column, value_set=values, mostly=check.mostly
        )
    if check.kind == "mean_between":
        return expect.ExpectColumnMeanToBeBetween(column=column, min_value=low, max_value=high)
    if len(check.columns) == 1:
        return expect.ExpectColumnValuesToBeUnique(column=column)
    return expect.ExpectCompoundColumnsToBeUnique(column_list=list(check.columns))


def _typed_values(values: Sequence[str], dtype: str) -> list[Any]:
    """Return the set's members as the column's type: Spark compares strictly."""
    if dtype in ("int", "bigint"):
        return [int(value) for value in values]
    return [float(value) for value in values] if dtype == "double" else list(values)
