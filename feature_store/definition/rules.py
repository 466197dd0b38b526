"""The rules that a definition keeps; a part of one knows nothing of them.

Types come first, each value against what its field declares, so that the rules after them need
not doubt what they read.
"""

from __future__ import annotations

from itertools import chain

from feature_store.definition.common_rules import (
    days_in_order,
    require_kept,
    within,
)
from feature_store.definition.derived_rules import broken_bounds, broken_derived
from feature_store.definition.expressions import nearest
from feature_store.definition.fields import Fields
from feature_store.definition.label import Label
from feature_store.definition.label_rules import broken_labels
from feature_store.definition.leak_rules import broken_leak
from feature_store.definition.list_rules import broken_lists
from feature_store.definition.lookup_rules import broken_lookups
from feature_store.definition.names import broken_names
from feature_store.definition.naming import Broken
from feature_store.definition.parts import NO_NUMBERS, Check, Numeric, taken
from feature_store.definition.row_rules import (
    broken_expression,
    known_by_then,
)
from feature_store.definition.spine import Product
from feature_store.definition.spine_rules import broken_spine
from feature_store.definition.tile_rules import TRUTHS, broken_streams, broken_tiles
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


def check(definition: Fields) -> None:
    """Do nothing if the definition keeps every rule.

    Raises:
        DefinitionError: the first rule that it breaks, with the field and its value.
    """
    broken = chain(
        wrong_types("", definition, Fields),
        days_in_order(definition),
        broken_labels(definition),
        _ranges(definition),
        broken_spine(definition),
        broken_lookups(definition),
        broken_streams(definition),
        broken_names(definition),
        _expressions(definition),
        broken_tiles(definition),
        broken_derived(definition),
        _features(definition),
        broken_lists(definition),
        _checks(definition),
        _gate(definition),
    )
    require_kept(definition, broken, what="definition")


def _ranges(definition: Fields) -> Broken:
    yield from within(definition, _OF_DEFINITION)
    yield from within(definition.training, _OF_TRAINING, "training.")
    share = definition.training.negative_downsampling
    if not 0.0 < share <= 1.0:
        rule = (
            "must be in (0, 1], the share of the rows without a true label that is learned from. "
            "Write 1.0 to learn from all of them, 0.1 from one in ten"
        )
        yield "training.negative_downsampling", share, rule
    yield from within(definition.gate, _OF_GATE, "gate.")


def _features(definition: Fields) -> Broken:
    known = definition.column_dtypes
    if not definition.categorical_names():
        yield "features", (), "must hold a Categorical or a Cross: every model needs one"
    for feature in definition.features:
        field = f"features.{feature.name}"
        if not taken(feature):
            yield f"{field}.of", (), "must name at least one column"
        for name in taken(feature):
            if name not in known:
                rule = f"is not a column; there are {sorted(known)}{nearest(name, known)}"
                yield field, name, rule
            if isinstance(feature, Numeric) and known[name] in NO_NUMBERS:
                rule = (
                    f"is of type {known[name]}, and a Numeric must be a number: declare the "
                    "column as one, or take it as a Categorical"
                )
                yield field, name, rule
            yield from broken_bounds(definition, feature, known[name])
            yield from broken_leak(definition, field, name)


def _expressions(definition: Fields) -> Broken:
    """Yield what is wrong with expressions over what is scored."""
    spine = definition.spine
    if isinstance(spine, Product) and spine.where is not None:
        yield from broken_expression(definition.row, "spine.where", spine.where, TRUTHS)
    for label in definition.labels:
        if isinstance(label, Label):
            field = f"labels.{label.name}"
            yield from broken_expression(definition.row, field, label.expression, TRUTHS)
            yield from known_by_then(definition.row, field, label.expression, label.known)


def _checks(definition: Fields) -> Broken:
    known = {
        "features": {
            *definition.keys,
            *definition.categorical_names(),
            *definition.numeric_names(),
        },
        "scores": {*definition.keys, *definition.score_columns},
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
    if gate.label and gate.label not in definition.label_names:
        labels = definition.label_names
        rule = f"must be a label, one of {sorted(labels)}{nearest(gate.label, labels)}"
        yield "gate.label", gate.label, rule
    for field, name in asked:
        if name not in names:
            rule = f"must be a categorical feature, one of {sorted(names)}{nearest(name, names)}"
            yield f"gate.{field}", name, rule
