"""The rule that nothing of a row is taken for a feature which only becomes known later."""

from __future__ import annotations

from feature_store.definition.fields import Fields
from feature_store.definition.label import Label
from feature_store.definition.naming import Broken
from feature_store.definition.row_rules import by_name


def broken_leak(definition: Fields, field: str, name: str) -> Broken:
    """Yield why a column of what is scored may not be part of a feature, if it may not.

    A name that is no such column, of a lookup for example, is none of this rule.
    """
    groups, columns = by_name(definition.row)
    if name not in columns:
        return
    if name in _made_of(definition):
        yield field, name, "is what a label is made of: it may only be in a history"
    group = groups[columns[name].known]
    if group.after_event:
        rule = f"is known only after the event (group {group.name!r})"
        yield field, name, f"{rule}: it may only be in a history or in a label"


def _made_of(definition: Fields) -> frozenset[str]:
    """Return the columns of what is scored that tell its labels."""
    told = [label.expression for label in definition.labels if isinstance(label, Label)]
    return frozenset(name for text in told for name in definition.row.taken_by(text))
