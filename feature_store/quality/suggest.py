"""Checks that past days would have passed, of what their columns hold: for a person to choose from.

Few of them, and wide: what differs by chance from day to day should stop no night, and what is
wrong by a factor, lost, or renamed should.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from feature_store.definition import Check, Cross

if TYPE_CHECKING:
    from feature_store.definition import Definition, Feature
    from feature_store.quality.profile import ColumnProfile, DayProfile

MOST_VALUES = 20
"""A text of more values gets no list of them."""
FULL_MOSTLY = 0.99
"""The most that is asked, also of what never lacked a value: a null now and then is no outage."""
SET_MOSTLY = 0.99
"""A new value among a hundred rows is news, and no fault."""
NUMBER_MOSTLY = 0.95
"""A fiftieth of each day's numbers may lie beyond their tails, at both ends together."""
DIGITS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """A check, and what of the past days it rests on."""

    check: Check
    seen: str


def suggestions(definition: Definition, columns: Sequence[ColumnProfile]) -> list[Suggestion]:
    """Return checks of a pipeline's features that the profiled days passed, but for those it has.

    Rows a day, the keys, then of each column which values it has and whether it has any. What is
    looked up together is there or lacks together: of a lookup one column is asked for, the one that
    lacks least. A key, and a `Cross`, always have a value.

    Args:
        definition: the pipeline.
        columns: profiles of columns of its features, each over the same days.
    """
    there = {check.title for check in definition.checks if check.stage == "features"}
    found = [_row_count(columns[0].days), _unique(definition)] if columns else []
    sources = {f.name: _source(definition, f) for f in definition.features}
    asked: dict[str, ColumnProfile] = {}
    for column in columns:
        source = sources[column.name]
        if source and (source not in asked or column.most_null < asked[source].most_null):
            asked[source] = column
    for column in columns:
        found += _values(column)
        found += _nulls(column) if column in asked.values() else ()
    return [one for one in found if one.check.title not in there]


def _row_count(days: Sequence[DayProfile]) -> Suggestion:
    least, most = min(day.rows for day in days), max(day.rows for day in days)
    check = Check(
        stage="features", kind="row_count", minimum=max(1, rounded(least / 2, up=False)),
        maximum=rounded(most * 2, up=True),
    )  # fmt: skip
    return Suggestion(check=check, seen=f"{least:,} to {most:,} rows a day")


def _unique(definition: Definition) -> Suggestion:
    check = Check(stage="features", kind="unique", columns=definition.keys)
    return Suggestion(check=check, seen="they are its keys")


def _source(definition: Definition, feature: Feature) -> str:
    """Return what a feature lacks its values together with; empty where it never lacks one."""
    if isinstance(feature, Cross) or feature.name in definition.keys:
        return ""
    lookup, is_of_one, _ = feature.column.partition(".")
    return lookup if is_of_one else feature.name


def _nulls(column: ColumnProfile) -> Iterator[Suggestion]:
    worst = column.most_null
    # Twice as many may lack it as ever did.
    mostly = math.floor(100 * min(FULL_MOSTLY, 1 - 2 * worst)) / 100
    if mostly <= 0:
        return
    check = Check(
        stage="features", kind="not_null", columns=(column.name,), mostly=mostly,
        severity="block" if worst == 0 else "warn",
    )  # fmt: skip
    seen = "never null" if worst == 0 else f"at most {worst:.1%} null"
    yield Suggestion(check=check, seen=seen)


def _values(column: ColumnProfile) -> Iterator[Suggestion]:
    if len(column.values) > 1:  # one alone may be all that these few days had
        check = Check(
            stage="features", kind="in_set", columns=(column.name,), values=column.values,
            mostly=SET_MOSTLY, severity="warn",
        )  # fmt: skip
        yield Suggestion(check=check, seen=f"{len(column.values)} values")
    if column.is_number:
        yield from _between(column)


def _between(column: ColumnProfile) -> Iterator[Suggestion]:
    lows = [day.low for day in column.days if day.low is not None]
    highs = [day.high for day in column.days if day.high is not None]
    if not lows or not all(map(math.isfinite, [*lows, *highs])) or min(lows) == max(highs):
        return
    low, high = min(lows), max(highs)
    # As far again to either side; what is never negative stays so.
    least = rounded(low - (high - low), up=False)
    check = Check(
        stage="features", kind="between", columns=(column.name,),
        minimum=0.0 if low >= 0 > least else least, maximum=rounded(high + (high - low), up=True),
        mostly=NUMBER_MOSTLY,
    )  # fmt: skip
    yield Suggestion(check=check, seen=f"98 % of each day from {low:.4g} to {high:.4g}")


def rounded(value: float, *, up: bool) -> float:
    """Return a number of two digits, none nearer to zero's other side than `value` is.

    Args:
        value: finite.
        up: whether it is at least `value`; else at most.
    """
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    return float(f"{(math.ceil if up else math.floor)(value / step) * step:.{DIGITS}g}")
