"""The rules that a definition keeps; a part of one knows nothing of them.

Types come first, each value against what its field declares, so that the rules after them need
not doubt what they read.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from feature_store.definition.common_rules import (
    days_in_order,
    require_kept,
    told_apart,
    within,
)
from feature_store.definition.expressions import Unfit, nearest
from feature_store.definition.fields import Fields
from feature_store.definition.history import History
from feature_store.definition.names import broken_names
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Check, Column, Dtype, Known, Numeric, taken
from feature_store.definition.stream import Stream
from feature_store.definition.typed import wrong_types

# The least and the largest value, both allowed. Wide: they are there for slips, not for taste.
_OF_DEFINITION = {
    "cutoff_hours": (-168, 168),
    "deadline_hours": (1, 720),
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
UNWRITTEN = "CHANGE_ME"
"""Stands in a definition that was begun for somebody, where they have to write an expression."""
_LABELS: tuple[Dtype, ...] = ("boolean",)
_VALUES: tuple[Dtype, ...] = ("boolean", "int", "bigint", "double")
_NO_NUMBERS: tuple[Dtype, ...] = ("string", "date")


def check(definition: Fields) -> None:
    """Do nothing if the definition keeps every rule.

    Raises:
        DefinitionError: the first rule that it breaks, with the field and its value.
    """
    broken = chain(
        wrong_types("", definition, Fields),
        days_in_order(definition),
        _ranges(definition),
        _sources(definition),
        _streams(definition),
        broken_names(definition),
        _expressions(definition),
        _features(definition),
        _histories(definition),
        _lookups(definition),
        _checks(definition),
        _gate(definition),
    )
    require_kept(definition, broken, what="definition")


def _ranges(definition: Fields) -> Broken:
    yield from within(definition, _OF_DEFINITION)
    yield from within(definition.training, _OF_TRAINING, "training.")
    yield from within(definition.gate, _OF_GATE, "gate.")
    for lookup in definition.lookups:
        yield from within(lookup, _OF_LOOKUP, f"lookups.{lookup.name}.")


def _sources(definition: Fields) -> Broken:
    for lookup in definition.lookups:
        yield from told_apart(lookup.source, f"lookups.{lookup.name}.source")


def _features(definition: Fields) -> Broken:
    groups, columns = _by_name(definition.stream)
    lookups = {f"{lk.name}.{c.name}": c for lk in definition.lookups for c in lk.columns}
    of_label = definition.stream.taken_by(definition.label.expression)
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


def _streams(definition: Fields) -> Broken:
    """Yield a history of a stream that has the name of another one."""
    for history in definition.histories:
        stream = definition.stream_of(history)
        same = next(known for known in definition.streams if known.name == stream.name)
        if same != stream:
            rule = "is the name of two streams that differ: give one of them another"
            yield f"histories.{history.name}.stream", stream.name, rule


def _expressions(definition: Fields) -> Broken:
    label, field = definition.label, f"label.{definition.label.name}"
    yield from _expression(definition.stream, field, label.expression, _LABELS)
    yield from _known_by_then(definition.stream, field, label.expression, label.known)
    for history in definition.histories:
        stream, field = definition.stream_of(history), f"histories.{history.name}"
        yield from _expression(stream, field, history.value, _VALUES)
        yield from _known_by_then(stream, field, history.value, history.known)


def _known_by_then(stream: Stream, field: str, expression: str, known: str) -> Broken:
    """Yield a column of an expression that is known later than the expression is said to be."""
    groups, columns = _by_name(stream)
    if known not in groups:
        rule = f"must be one of {sorted(groups)}{nearest(known, groups)}"
        yield f"{field}.known", known, rule
    for name in sorted(stream.taken_by(expression)):
        group = groups[columns[name].known]
        if group.after_event and group.name != known:
            yield field, name, f"is known by {group.name!r}, later than the stated {known!r}"


def _expression(stream: Stream, field: str, expression: str, types: Collection[Dtype]) -> Broken:
    """Yield what may not be in an expression, and the type of one that is a column and no more."""
    if expression == UNWRITTEN:
        rule = "is still to be written, in its place in the definition: the remark above says how"
        yield field, expression, rule
        return
    _, columns = _by_name(stream)
    try:
        names = stream.taken_by(expression)
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
        yield from _history_keys(definition, history, field)


def _history_keys(definition: Fields, history: History, field: str) -> Broken:
    """Yield what keeps a history's keys from being found by what is scored."""
    if history.on and len(history.on) != len(history.keys):
        yield f"{field}.on", history.on, f"must name a column for each of keys={history.keys}"
    of_stream = {column.name: column for column in definition.stream_of(history).columns}
    for name in history.keys:
        if name not in of_stream:
            rule = f"is not a column of the stream {definition.stream_of(history).name}"
            yield f"{field}.keys", name, f"{rule}{nearest(name, of_stream)}"
    which = "on" if history.on else "keys"
    yield from _known_beforehand(definition, f"{field}.{which}", history.asked_by)
    _, own = _by_name(definition.stream)
    for key, name in zip(history.keys, history.asked_by, strict=True):
        if _key_kind(own[name].dtype) != _key_kind(of_stream[key].dtype):
            rule = (
                f"is of type {own[name].dtype} where rows are scored, and {key} of the stream "
                f"{definition.stream_of(history).name} of type {of_stream[key].dtype}: no key "
                "would be found. Declare both alike"
            )
            yield f"{field}.{which}", name, rule


def _key_kind(dtype: Dtype) -> str:
    """Return what two columns have in common whose equal values have the same text."""
    return "whole number" if dtype in ("int", "bigint") else dtype


def _lookups(definition: Fields) -> Broken:
    _, columns = _by_name(definition.stream)
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
    groups, columns = _by_name(definition.stream)
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


def _by_name(stream: Stream) -> tuple[dict[str, Known], dict[str, Column]]:
    groups = {group.name: group for group in stream.knowns}
    return groups, {column.name: column for column in stream.columns}


def _dtype(columns: dict[str, Column], name: str) -> str:
    return columns[name].dtype if name in columns else ""
