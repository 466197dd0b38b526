"""The rules of what labels have to do with one another."""

from __future__ import annotations

from feature_store.definition.expressions import nearest
from feature_store.definition.fields import Fields
from feature_store.definition.naming import Broken


def broken_labels(definition: Fields) -> Broken:
    """Yield what leaves a pipeline without a label, or a label without rows that can have it."""
    if not definition.labels:
        yield "labels", (), "must hold at least one: a model learns to predict something"
    given = {label.name: label.given for label in definition.labels}
    for name, asked in given.items():
        field = f"labels.{name}.given"
        if asked is None:
            continue
        if asked == name:
            yield field, asked, "is the label itself: name another one, or leave it out"
        if asked not in given:
            others = sorted(set(given) - {name})
            rule = f"is no other label of the pipeline; there are {others}{nearest(asked, others)}"
            yield field, asked, rule
    for name, asked in given.items():
        way = [name]
        while asked is not None and asked not in way:
            way.append(asked)
            asked = given[asked]
        if asked is not None:
            circle = " given ".join(map(repr, [*way[way.index(asked) :], asked]))
            rule = (
                f"goes round in a circle ({circle}): no row could have one of them. Leave one out"
            )
            yield f"labels.{name}.given", given[name], rule
