"""The rules of what is computed of a row, and of the ranges that a number is put in."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

from feature_store.definition.expressions import Unfit
from feature_store.definition.fields import Fields
from feature_store.definition.label import Label
from feature_store.definition.naming import NAME_RULE, Broken, is_name, reserved
from feature_store.definition.parts import NO_NUMBERS, Categorical, Cross, Dtype, Numeric
from feature_store.definition.row_rules import broken_expression, by_name
from feature_store.schema import DS, RESERVED


def broken_derived(definition: Fields) -> Broken:
    """Yield what keeps a derived column from being computed, or tells what is not known yet."""
    groups, columns = by_name(definition.row)
    of_label = made_of(definition)
    taken = {*columns, *(lookup.name for lookup in definition.lookups)}
    taken |= {name for history in definition.histories for name, _, _ in history.columns()}
    for derived in definition.derived:
        field = f"derived.{derived.name}"
        if not is_name(derived.name) or derived.name == DS:
            yield "derived", derived.name, f"{NAME_RULE}, and not {DS}"
        if derived.name in RESERVED:
            yield "derived", derived.name, f"{reserved(RESERVED)}. Call it otherwise"
        if derived.name in taken:
            rule = (
                "is a column, a lookup, a history's feature or derived already. Call it otherwise"
            )
            yield "derived", derived.name, rule
        taken.add(derived.name)
        row = definition.seen_by(derived)
        yield from broken_expression(row, field, derived.expression, get_args(Dtype))
        for name in sorted(row.taken_by(derived.expression) & columns.keys()):
            if name in of_label:
                yield field, name, "is what a label is made of: it may only be in a history"
            if groups[columns[name].known].after_event:
                rule = f"is known only after the event (group {columns[name].known!r})"
                yield field, name, f"{rule}: it may only be in a history or in a label"


def broken_bounds(
    definition: Fields, feature: Categorical | Numeric | Cross, dtype: Dtype
) -> Broken:
    """Yield what keeps a number, of which a feature is made, from being put in ranges."""
    if not isinstance(feature, Categorical) or not feature.bounds:
        return
    field = f"features.{feature.name}"
    if any(low >= high for low, high in pairwise(feature.bounds)):
        yield f"{field}.bounds", feature.bounds, "must rise, each above the one before"
    if dtype in NO_NUMBERS:
        yield field, feature.column, f"is of type {dtype}, and only a number has bounds"
    if feature.name in definition.keys:
        yield field, feature.name, "is a key, whose column it would replace. Call it otherwise"


def made_of(definition: Fields) -> frozenset[str]:
    """Return the columns of what is scored that tell its labels."""
    told = [label.expression for label in definition.labels if isinstance(label, Label)]
    return frozenset(name for text in told for name in _taken(definition, text))


def _taken(definition: Fields, expression: str) -> frozenset[str]:
    try:
        return definition.row.taken_by(expression)
    except Unfit:  # another rule says what is wrong with it
        return frozenset()
