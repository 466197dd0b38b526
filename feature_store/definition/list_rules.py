"""The rules of features of several categories in a row: sequences, and what is multi-valued."""

from __future__ import annotations

import re

from feature_store.definition.common_rules import within
from feature_store.definition.expressions import nearest
from feature_store.definition.fields import Fields
from feature_store.definition.key_rules import kind
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Categorical, MultiValued
from feature_store.definition.sequence import Sequence

_OF_LIST = {"length": (1, 200)}
_OF_SEQUENCE = {"days": (1, 3_660)}


def broken_lists(definition: Fields) -> Broken:
    """Yield what keeps a feature of several categories from being one."""
    for one in definition.lists:
        is_sequence = isinstance(one, Sequence)
        field = f"{'sequences' if is_sequence else 'features'}.{one.name}"
        yield from within(one, _OF_LIST, f"{field}.")
        if isinstance(one, Sequence):
            yield from within(one, _OF_SEQUENCE, f"{field}.")
        else:
            yield from _multi_valued(definition, one, field)
        yield from _like(definition, one, field)
        yield from _columns(definition, one, field)


def _multi_valued(definition: Fields, feature: MultiValued, field: str) -> Broken:
    dtype = definition.column_dtypes[feature.column]
    if dtype != "string":
        rule = f"is of type {dtype}, and only a text holds several values: take a Categorical"
        yield field, feature.column, rule
    if not feature.separator:
        yield f"{field}.separator", "", "must be the text that stands between two values"
    if feature.name in definition.keys:
        yield field, feature.name, "is a key, which is one value. Call it otherwise"


def _like(definition: Fields, one: MultiValued | Sequence, field: str) -> Broken:
    if not one.like:
        return
    whole = {f.name: f for f in definition.features if isinstance(f, Categorical) and not f.bounds}
    if one.like not in whole:
        rule = f"must be a Categorical without bounds, one of {sorted(whole)}"
        yield f"{field}.like", one.like, f"{rule}{nearest(one.like, whole)}"
    elif isinstance(one, Sequence):
        # Of an expression Spark alone knows the type.
        dtypes = {column.name: column.dtype for column in definition.stream_of(one).columns}
        theirs = dtypes.get(one.value.strip())
        own = definition.column_dtypes[whole[one.like].column]
        if theirs is not None and kind(theirs) != kind(own):
            rule = (
                f"is of type {own}, and {one.value} of type {theirs}: equal values would have "
                "different texts, and none a vector in common. Declare both alike"
            )
            yield f"{field}.like", one.like, rule


def _columns(definition: Fields, one: MultiValued | Sequence, field: str) -> Broken:
    """Yield a feature that would have the name of a column of the list, once it is encoded."""
    own = re.compile(f"{re.escape(one.name)}_(\\d+)")
    for name in (*definition.categorical_names(), *definition.numeric_names()):
        found = own.fullmatch(name)
        if found and int(found[1]) < one.length:
            rule = f"is encoded as {one.name}_0, {one.name}_1, …, which is a feature's name too"
            yield field, name, f"{rule}. Call one of them otherwise"
