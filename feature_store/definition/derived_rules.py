"""The rules of what is computed of a row, and of the ranges that a number is put in."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

from feature_store.definition.fields import Fields
from feature_store.definition.leak_rules import broken_leak
from feature_store.definition.naming import Broken
from feature_store.definition.parts import NO_NUMBERS, Categorical, Dtype, Feature
from feature_store.definition.row_rules import broken_expression


def broken_derived(definition: Fields) -> Broken:
    """Yield what keeps a derived column from being computed, or tells what is not known yet."""
    for derived in definition.derived:
        field, row = f"derived.{derived.name}", definition.seen_by(derived)
        yield from broken_expression(row, field, derived.expression, get_args(Dtype))
        for name in sorted(row.taken_by(derived.expression)):
            yield from broken_leak(definition, field, name)


def broken_bounds(definition: Fields, feature: Feature, dtype: Dtype) -> Broken:
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
