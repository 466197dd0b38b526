"""Names that a definition may give: well formed, told apart, and free of what tables need."""

from __future__ import annotations

from feature_store.definition.common_rules import named_once
from feature_store.definition.fields import Fields
from feature_store.definition.naming import NAME_RULE, Broken, is_name, reserved
from feature_store.definition.parts import Cross, Feature
from feature_store.schema import (
    DS,
    LABEL_PREFIX,
    OF_TRAINING,
    RESERVED,
    SEGMENT_PREFIX,
    STREAMS,
)


def broken_names(definition: Fields) -> Broken:
    """Yield every name that is malformed, given twice, or needed by a table."""
    if not is_name(definition.name):
        yield "name", definition.name, NAME_RULE
    if definition.name == STREAMS:
        yield "name", definition.name, "is the folder of the streams' tables. Call it otherwise"
    yield from named_once("histories", definition.histories)
    yield from named_once("lookups", definition.lookups)
    yield from named_once("labels", definition.labels)
    yield from _of_keys(definition)
    yield from _of_features(definition)
    yield from _of_histories(definition)
    yield from _of_lookups(definition)
    yield from _of_derived(definition)
    for label in definition.labels:
        if not is_name(label.name):
            yield "labels", label.name, NAME_RULE


def _of_keys(definition: Fields) -> Broken:
    # A key has the name that the source gives it, so only what really clashes is refused.
    segments = [f"{SEGMENT_PREFIX}{name}" for name in definition.gate.segments]
    labels = [f"{LABEL_PREFIX}{name}" for name in definition.label_names]
    taken = (*dict.fromkeys((*RESERVED, *definition.score_columns)), *labels, *segments)
    for key in definition.keys:
        if key in taken:
            yield "keys", key, f"{reserved(taken)}. Give it another name in the source"


def _of_features(definition: Fields) -> Broken:
    names = [*definition.categorical_names(), *definition.numeric_names()]
    names += [one.name for one in definition.lists]
    names += [sequence.ages for sequence in definition.sequences]
    for name in names:
        if names.count(name) > 1:
            yield "features", name, "is defined twice"
        if not is_name(name) or name == DS:
            yield "features", name, f"{NAME_RULE}, and not {DS}"
        if name in RESERVED:
            yield "features", name, f"{reserved(RESERVED)}. Call it otherwise"
        if name.startswith(OF_TRAINING):
            rule = f"begins as columns of training sets do ({', '.join(OF_TRAINING)})"
            yield "features", name, f"{rule}. Call it otherwise"
    for feature in definition.features:
        if feature.name in definition.keys and not _is_that_key(feature):
            rule = (
                "is the name of a key, whose column it would replace: a feature of that name must "
                f"be column={feature.name!r} itself. Call it otherwise"
            )
            yield f"features.{feature.name}", getattr(feature, "column", feature.name), rule


def _is_that_key(feature: Feature) -> bool:
    return not isinstance(feature, Cross) and feature.column == feature.name


def _of_histories(definition: Fields) -> Broken:
    columns = {column.name for column in definition.row.columns}
    for history in definition.histories:
        if not is_name(history.name):
            yield "histories", history.name, NAME_RULE
        if history.name in RESERVED:
            yield "histories", history.name, f"{reserved(RESERVED)}. Call it otherwise"
        for name, _, _ in history.columns():
            if name in columns:
                rule = f"makes a feature {name!r}, which is a column too. Call it otherwise"
                yield f"histories.{history.name}", name, rule


def _of_lookups(definition: Fields) -> Broken:
    columns = {column.name for column in definition.row.columns}
    made = {name for history in definition.histories for name, _, _ in history.columns()}
    for lookup in definition.lookups:
        field = f"lookups.{lookup.name}"
        if not is_name(lookup.name):
            yield "lookups", lookup.name, NAME_RULE
        if lookup.name in columns | made:
            yield field, lookup.name, "is a column or a history's feature too. Call it otherwise"
        if lookup.name in RESERVED:
            yield "lookups", lookup.name, f"{reserved(RESERVED)}. Call it otherwise"


def _of_derived(definition: Fields) -> Broken:
    taken = {column.name for column in definition.row.columns}
    taken |= {lookup.name for lookup in definition.lookups}
    taken |= {name for history in definition.histories for name, _, _ in history.columns()}
    for name in (derived.name for derived in definition.derived):
        if not is_name(name) or name == DS:
            yield "derived", name, f"{NAME_RULE}, and not {DS}"
        if name in RESERVED:
            yield "derived", name, f"{reserved(RESERVED)}. Call it otherwise"
        if name in taken:
            rule = "is a column, a lookup, a history's feature or derived already"
            yield "derived", name, f"{rule}. Call it otherwise"
        taken.add(name)
