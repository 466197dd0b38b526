"""The rules of what is said of a row's columns: that they are there, of a type, known in time."""

from __future__ import annotations

from collections.abc import Collection

from feature_store.definition.expressions import Unfit, nearest
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Column, Dtype, Known
from feature_store.definition.row_type import RowType

UNWRITTEN = "CHANGE_ME"
"""Stands in a definition that was begun for somebody, where they have to write an expression."""


def known_by_then(row: RowType, field: str, expression: str, known: str) -> Broken:
    """Yield a column of an expression that is known later than the expression is said to be."""
    groups, columns = by_name(row)
    if known not in groups:
        rule = f"must be one of {sorted(groups)}{nearest(known, groups)}"
        yield f"{field}.known", known, rule
    for name in sorted(row.taken_by(expression)):
        group = groups[columns[name].known]
        if group.after_event and group.name != known:
            yield field, name, f"is known by {group.name!r}, later than the stated {known!r}"


def broken_expression(
    row: RowType, field: str, expression: str, types: Collection[Dtype]
) -> Broken:
    """Yield what may not be in an expression, and the type of one that is a column and no more."""
    if expression == UNWRITTEN:
        rule = "is still to be written, in its place in the definition: the remark above says how"
        yield field, expression, rule
        return
    _, columns = by_name(row)
    try:
        names = row.taken_by(expression)
    except Unfit as unfit:
        yield field, expression, str(unfit)
        return
    if not names:
        yield field, expression, "must take a column: the same for all rows says nothing"
    bare = columns.get(expression.strip())
    if bare is not None and bare.dtype not in types:
        rule = f"is of type {bare.dtype}, and must be {' or '.join(types)}"
        yield field, expression, rule


def known_beforehand(row: RowType, field: str, names: tuple[str, ...]) -> Broken:
    """Yield what is no column of a row, or one that waits for what happens."""
    groups, columns = by_name(row)
    for name in names:
        hint = nearest(name, columns) if name not in columns else ""
        if name not in columns or groups[columns[name].known].after_event:
            yield field, name, f"must be a column known beforehand{hint}"


def by_name(row: RowType) -> tuple[dict[str, Known], dict[str, Column]]:
    """Return the known-at groups of a row, and its columns, by name."""
    groups = {group.name: group for group in row.knowns}
    return groups, {column.name: column for column in row.columns}
