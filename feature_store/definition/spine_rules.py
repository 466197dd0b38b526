"""The rules of what is scored, where the days before tell it."""

from __future__ import annotations

from feature_store.definition.common_rules import within
from feature_store.definition.expressions import nearest
from feature_store.definition.fields import Fields
from feature_store.definition.label import Label
from feature_store.definition.naming import Broken
from feature_store.definition.spine import Active, Product, Rows, Top

_OF_SIDE = {"days": (1, 3_660)}
_OF_ACTIVE = {"at_least": (1, 1_000_000_000)}
_OF_TOP = {"n": (1, 100_000_000)}
_OF_PRODUCT = {"max_rows": (1, 1_000_000_000_000)}


def broken_spine(definition: Fields) -> Broken:
    """Yield what keeps the days before from telling what is scored."""
    for field, side in sides_with_field(definition):
        yield from within(side, _OF_SIDE, f"{field}.")
        yield from within(side, _OF_ACTIVE if isinstance(side, Active) else _OF_TOP, f"{field}.")
        yield from _keys(side, field)
    if isinstance(definition.spine, Product):
        yield from within(definition.spine, _OF_PRODUCT, "spine.")
        keys = definition.spine.keys
        if len(set(keys)) < len(keys):
            rule = "names a key of both sides: give one of the two streams another name for it"
            yield "spine", keys, rule
    if not isinstance(definition.spine, Rows):
        yield from _needs_rows(definition)


def sides_with_field(definition: Fields) -> list[tuple[str, Active | Top]]:
    """Return what the days before tell, with the field that it stands in."""
    spine = definition.spine
    if isinstance(spine, Product):
        return [("spine.left", spine.left), ("spine.right", spine.right)]
    return [("spine", side) for side in spine.sides]


def _keys(side: Active | Top, field: str) -> Broken:
    columns = {column.name for column in side.stream.columns}
    if not side.keys:
        yield f"{field}.keys", (), "must name at least one column"
    if len(set(side.keys)) < len(side.keys):
        yield f"{field}.keys", side.keys, "must name each column once"
    for name in side.keys:
        if name not in columns:
            rule = f"is not a column of the stream {side.stream.name}{nearest(name, columns)}"
            yield f"{field}.keys", name, rule


def _needs_rows(definition: Fields) -> Broken:
    """Yield what only a row that is delivered can tell."""
    told = "no row is delivered for what is scored: the days before tell it"
    for label in definition.labels:
        if isinstance(label, Label):
            rule = f"is told by no row, for {told}. Make the label an Outcome of a stream"
            yield f"labels.{label.name}", label.expression, rule
    of_tiles = [(f"histories.{history.name}", history.stream) for history in definition.histories]
    of_tiles += [(f"sequences.{one.name}", one.stream) for one in definition.sequences]
    for field, stream in of_tiles:
        if stream is None:
            yield f"{field}.stream", None, f"is needed, for {told}"
