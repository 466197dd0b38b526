"""The rules that a definition keeps; a part of one knows nothing of them.

Types come first, each value against what its field declares, so that the rules after them need
not doubt what they read.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from datetime import date, datetime
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from feature_store.definition.expressions import Unfit, nearest
from feature_store.definition.fields import Fields
from feature_store.definition.names import Broken, broken_names
from feature_store.definition.parts import (
    Check,
    Column,
    Dtype,
    Known,
    Numeric,
    Source,
    plain,
    taken,
)
from feature_store.errors import DefinitionError

_CALLED = {float: "a number", int: "a whole number", date: "a date", str: "text", NoneType: "None"}

# The least and the largest value, both allowed. Wide: they are there for slips, not for taste.
_OF_DEFINITION = {
    "cutoff_hours": (-168, 168),
    "deadline_hours": (1, 720),
    "max_bad_share": (0, 1),
    "max_known_days": (0, 36_600),
}
_OF_TRAINING = {
    "epochs": (1, 10_000),
    "batch_size": (1, 1 << 20),
    "learning_rate": (1e-8, 0.5),
    "warmup_steps": (0, 1_000_000),
    "max_grad_norm": (1e-6, 1e6),
    "average": (0, 0.9999),
    "patience": (1, 10_000),
    "seed": (0, (1 << 32) - 2),
    "min_count": (1, 1_000_000),
    "embedding_l2": (0, 10),
    "validation_days": (1, 3_660),
}
_OF_GATE = {
    "min_auc": (0, 1),
    "max_ece": (0, 1),
    "max_auc_drop": (0, 1),
    "max_segment_auc_drop": (0, 1),
    "min_segment_rows": (1, 1_000_000_000),
    "rank_k": (1, 1_000_000),
}
_OF_LOOKUP = {"spread_days": (0, 366), "due_hours": (-8_784, 8_784)}
_WINDOW_DAYS = (1, 3_660)
_LABELS: tuple[Dtype, ...] = ("boolean",)
_VALUES: tuple[Dtype, ...] = ("boolean", "int", "bigint", "double")
_NO_NUMBERS: tuple[Dtype, ...] = ("string", "date")
_MOST_EVENT_DAYS = 3_660


def check(definition: Fields) -> None:
    """Do nothing if the definition keeps every rule.

    Raises:
        DefinitionError: the first rule that it breaks, with the field and its value.
    """
    # One after the other: what comes later is not looked at once something is wrong.
    broken = chain(
        wrong_types("", definition, Fields),
        _days(definition),
        _ranges(definition),
        _sources(definition),
        _columns(definition),
        broken_names(definition),
        _expressions(definition),
        _features(definition),
        _histories(definition),
        _lookups(definition),
        _checks(definition),
        _gate(definition),
    )
    first = next(broken, None)
    if first is not None:
        raise DefinitionError(str(definition.name), *first)


def wrong_types(where: str, value: object, hint: Any) -> Broken:
    """Yield what is not what its field declares; `where` is the path to it, empty for the whole."""
    origin = get_origin(hint)
    if origin is Literal:
        if value not in get_args(hint):
            yield where, value, f"must be one of {', '.join(map(repr, get_args(hint)))}"
    elif origin in (Union, UnionType):
        yield from _wrong_in_union(where, value, get_args(hint))
    elif origin is tuple:
        yield from _wrong_in_tuple(where, value, get_args(hint))
    elif not _is_a(value, hint):
        yield where, value, f"must be {_called(hint)}"
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        for field in dataclasses.fields(hint):
            path = f"{where}.{field.name}" if where else field.name
            yield from wrong_types(path, getattr(value, field.name), hints[field.name])


def _wrong_in_union(where: str, value: object, options: tuple[Any, ...]) -> Broken:
    if dataclasses.is_dataclass(value) and type(value) in options:
        yield from wrong_types(where, value, type(value))
    elif all(any(wrong_types(where, value, option)) for option in options):
        yield where, value, f"must be {' or '.join(map(_called, options))}"


def _wrong_in_tuple(where: str, value: object, hints: tuple[Any, ...]) -> Broken:
    if not isinstance(value, tuple):
        yield where, value, "must be a tuple; one of a single item is written (item,)"
        return
    each = hints[:1] * len(value) if hints[-1] is Ellipsis else hints
    if len(value) != len(each):
        yield where, value, f"must have {len(each)} items"
        return
    for index, (item, hint) in enumerate(zip(value, each, strict=True)):
        name = getattr(item, "name", None)
        yield from wrong_types(f"{where}.{name}" if name else f"{where}[{index}]", item, hint)


def _is_a(value: object, hint: Any) -> bool:
    """Whether a value is of a class, without Python's kinship of bool, int, date and datetime."""
    if hint is Source:
        methods = (getattr(value, name, None) for name in ("fingerprint", "read"))
        return dataclasses.is_dataclass(value) and all(map(callable, methods))
    if hint in (int, float) and isinstance(value, bool):
        return False
    if hint is float:
        return isinstance(value, int | float) and math.isfinite(value)
    if hint is date and isinstance(value, datetime):
        return False
    return isinstance(value, hint)


def _called(hint: Any) -> str:
    if hint is Source:
        return "a frozen dataclass with fingerprint(day) and read(spark, days)"
    return _CALLED.get(hint) or f"a {getattr(hint, '__name__', hint)}"  # of tuple[int, ...], tuple


def _days(definition: Fields) -> Broken:
    if definition.last_day is not None and definition.last_day < definition.first_day:
        yield (
            "last_day",
            definition.last_day,
            f"must not be before first_day={definition.first_day}",
        )


def _ranges(definition: Fields) -> Broken:
    parts: list[tuple[str, object, Mapping[str, tuple[float, float]]]] = [
        ("", definition, _OF_DEFINITION),
        ("training.", definition.training, _OF_TRAINING),
        ("gate.", definition.gate, _OF_GATE),
    ]
    parts += [(f"lookups.{lookup.name}.", lookup, _OF_LOOKUP) for lookup in definition.lookups]
    for where, part, ranges in parts:
        for name, (low, high) in ranges.items():
            value = getattr(part, name)
            if value is not None and not low <= value <= high:
                yield f"{where}{name}", value, f"must be in {low}..{high}"
    first, last = definition.event_days
    if not -_MOST_EVENT_DAYS <= first <= last <= _MOST_EVENT_DAYS:
        rule = f"must be two days in {-_MOST_EVENT_DAYS}..{_MOST_EVENT_DAYS}, the earlier first"
        yield "event_days", definition.event_days, rule


def _sources(definition: Fields) -> Broken:
    """Yield a source whose fields have no digest: what rows are made of must be told apart."""
    sources = {f"lookups.{lookup.name}.source": lookup.source for lookup in definition.lookups}
    for where, source in {"source": definition.source, **sources}.items():
        try:
            json.dumps(plain(source))
        except TypeError as error:
            yield where, source, f"fields must be text, numbers, dates or tuples of these: {error}"


def _columns(definition: Fields) -> Broken:
    groups, columns = _by_name(definition)
    for column in definition.columns:
        if column.known not in groups:
            rule = f"must be one of {sorted(groups)}{nearest(column.known, groups)}"
            yield f"columns.{column.name}.known", column.known, rule
    for group in definition.knowns:
        if group.at not in columns or columns[group.at].dtype != "timestamp":
            rule = f"must be a declared timestamp column{nearest(group.at, columns)}"
            yield f"knowns.{group.name}.at", group.at, rule
    for name in (*definition.keys, definition.event_time):
        if name not in columns:
            rule = f"must be a declared column, one of {sorted(columns)}{nearest(name, columns)}"
            yield "keys/event_time", name, rule
    if _dtype(columns, definition.event_time) not in ("timestamp", "date", ""):
        yield "event_time", definition.event_time, "must be a declared timestamp or date column"
    if not definition.keys:
        yield "keys", (), "must name at least one column"


def _features(definition: Fields) -> Broken:
    groups, columns = _by_name(definition)
    lookups = {f"{lk.name}.{c.name}": c for lk in definition.lookups for c in lk.columns}
    of_label = definition.taken_by(definition.label.expression)
    if not definition.categorical_names():
        yield "features", (), "must hold a Categorical or a Cross: every model needs one"
    for feature in definition.features:
        field = f"features.{feature.name}"
        if not taken(feature):
            yield f"{field}.of", (), "must name at least one column"
        for name in taken(feature):
            known = {**columns, **lookups}
            if name not in known:
                rule = f"is not a column; there are {sorted(known)}{nearest(name, known)}"
                yield field, name, rule
            if isinstance(feature, Numeric) and known[name].dtype in _NO_NUMBERS:
                rule = (
                    f"is of type {known[name].dtype}, and a Numeric must be a number: declare the "
                    "column as one, or take it as a Categorical"
                )
                yield field, name, rule
            if name in lookups:
                continue
            if name in of_label:
                yield field, name, "is what the label is made of: it may only be in a history"
            group = groups[columns[name].known]
            if group.after_event:
                yield (
                    field,
                    name,
                    f"is known only after the event (group {group.name!r}): it may only be in a "
                    "history or in the label",
                )


def _expressions(definition: Fields) -> Broken:
    groups, columns = _by_name(definition)
    label = definition.label
    yield from _expression(definition, f"label.{label.name}", label.expression, _LABELS)
    for history in definition.histories:
        field = f"histories.{history.name}"
        yield from _expression(definition, field, history.value, _VALUES)
    for field, expression, known in [
        (f"label.{label.name}", label.expression, label.known),
        *((f"histories.{h.name}", h.value, h.known) for h in definition.histories),
    ]:
        if known not in groups:
            rule = f"must be one of {sorted(groups)}{nearest(known, groups)}"
            yield f"{field}.known", known, rule
        for name in sorted(definition.taken_by(expression)):
            group = groups[columns[name].known]
            if group.after_event and group.name != known:
                yield field, name, f"is known by {group.name!r}, later than the stated {known!r}"


def _expression(
    definition: Fields, field: str, expression: str, types: Collection[Dtype]
) -> Broken:
    """Yield what may not be in an expression, and the type of one that is a column and no more."""
    _, columns = _by_name(definition)
    try:
        names = definition.taken_by(expression)
    except Unfit as unfit:
        yield field, expression, str(unfit)
        return
    if not names:
        yield field, expression, "must take a column: the same for all rows says nothing"
    bare = columns.get(expression.strip())
    if bare is not None and bare.dtype not in types:
        rule = f"is of type {bare.dtype}, and must be {' or '.join(types)}"
        yield field, expression, rule


def _histories(definition: Fields) -> Broken:
    low, high = _WINDOW_DAYS
    for history in definition.histories:
        field = f"histories.{history.name}"
        if not history.windows or not low <= min(history.windows) <= max(history.windows) <= high:
            yield f"{field}.windows", history.windows, f"must be days in {low}..{high}, one or more"
        if not history.aggregates:
            yield f"{field}.aggregates", (), "must name at least one"
        if not history.keys:
            yield f"{field}.keys", (), "must name at least one column"
        yield from _known_beforehand(definition, f"{field}.keys", history.keys)


def _lookups(definition: Fields) -> Broken:
    _, columns = _by_name(definition)
    for lookup in definition.lookups:
        field = f"lookups.{lookup.name}"
        if lookup.snapshot == (lookup.at is not None):
            yield f"{field}.at", lookup.at, "is needed unless the lookup is a snapshot"
        if lookup.at is not None and _dtype(columns, lookup.at) != "timestamp":
            rule = f"must be a declared timestamp column{nearest(lookup.at, columns)}"
            yield f"{field}.at", lookup.at, rule
        if lookup.at is not None:
            yield from _known_beforehand(definition, f"{field}.at", (lookup.at,))
        if not lookup.snapshot and lookup.max_age_hours is None:
            yield f"{field}.max_age_hours", None, "is needed unless a snapshot"
        if lookup.max_age_hours is not None and lookup.max_age_hours < 1:
            yield f"{field}.max_age_hours", lookup.max_age_hours, "must be 1 or more"
        if not lookup.keys:
            yield f"{field}.keys", (), "must name at least one column"
        yield from _known_beforehand(definition, f"{field}.keys", lookup.keys)


def _known_beforehand(definition: Fields, field: str, names: tuple[str, ...]) -> Broken:
    groups, columns = _by_name(definition)
    for name in names:
        hint = nearest(name, columns) if name not in columns else ""
        if name not in columns or groups[columns[name].known].after_event:
            yield field, name, f"must be a column known beforehand{hint}"


def _checks(definition: Fields) -> Broken:
    known = {
        "features": {
            *definition.keys,
            *definition.categorical_names(),
            *definition.numeric_names(),
        },
        "scores": {*definition.keys, "score"},
    }
    for check in definition.checks:
        for column in check.columns:
            if column not in known[check.stage]:
                hint = nearest(column, known[check.stage])
                yield f"checks.{check.title}", column, f"is not a column of {check.stage}{hint}"
        yield from ((f"checks.{check.title}.{field}", v, rule) for field, v, rule in _one(check))


def _one(check: Check) -> Broken:
    """Yield what makes a check one that cannot say no, or cannot be computed."""
    low, high = check.minimum, check.maximum
    if check.kind == "row_count" and check.columns:
        yield "columns", check.columns, "a row_count has none"
    if check.kind == "unique" and not check.columns:
        yield "columns", (), "must name at least one column"
    if check.kind not in ("row_count", "unique") and len(check.columns) != 1:
        yield "columns", check.columns, "must name one column"
    if check.kind == "in_set" and not check.values:
        yield "values", (), "must hold at least one"
    # `between` without limits is of use: it says that every number is finite.
    if check.kind == "mean_between" and low is None and high is None:
        yield "minimum", None, "needs a minimum or a maximum"
    if low is not None and high is not None and low > high:
        yield "minimum", low, f"must not be above maximum={high}"
    if not 0.0 < check.mostly <= 1.0:
        yield "mostly", check.mostly, "must be in (0, 1]"
    if check.mostly != 1.0 and check.kind in ("row_count", "unique", "mean_between"):
        yield "mostly", check.mostly, f"a {check.kind} is kept or not: it has no share of rows"


def _gate(definition: Fields) -> Broken:
    names, gate = definition.categorical_names(), definition.gate
    asked = [("segments", name) for name in gate.segments]
    asked += [("rank_within", gate.rank_within)] if gate.rank_within else []
    for field, name in asked:
        if name not in names:
            rule = f"must be a categorical feature, one of {sorted(names)}{nearest(name, names)}"
            yield f"gate.{field}", name, rule


def _by_name(definition: Fields) -> tuple[dict[str, Known], dict[str, Column]]:
    groups = {group.name: group for group in definition.knowns}
    return groups, {column.name: column for column in definition.columns}


def _dtype(columns: dict[str, Column], name: str) -> str:
    return columns[name].dtype if name in columns else ""
