"""The rules of what is found by keys: that both sides have them, and alike."""

from __future__ import annotations

from collections.abc import Sequence

from feature_store.definition.expressions import nearest
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Column, Dtype
from feature_store.definition.stream import Stream


def broken_stream_keys(stream: Stream, field: str, keys: Sequence[str]) -> Broken:
    """Yield what keeps columns of a stream from being keys."""
    of_stream = stream.types
    if not keys:
        yield f"{field}.keys", (), "must name at least one column"
    for name in keys:
        if name not in of_stream:
            rule = f"is not a column of the stream {stream.name}"
            yield f"{field}.keys", name, f"{rule}{nearest(name, of_stream)}"


def broken_count(field: str, on: Sequence[str], keys: Sequence[str]) -> Broken:
    """Yield names that are not one for each key; none at all stand for the keys' own."""
    if on and len(on) != len(keys):
        yield f"{field}.on", on, f"must name a column for each of keys={keys}"


def unlike_keys(
    stream: Stream, field: str, keys: Sequence[str], own: Sequence[tuple[str, Column]]
) -> Broken:
    """Yield a key that would never be found: of another type than what is equal to it.

    Args:
        stream: whose columns the keys are.
        field: where the names stand.
        keys: columns of the stream.
        own: what each of them is equal to, with its name, in the order of the keys.
    """
    for key, (name, column) in zip(keys, own, strict=True):
        theirs = stream.column(key)
        if kind(column.dtype) != kind(theirs.dtype):
            rule = (
                f"is of type {column.dtype} where rows are scored, and {key} of the stream "
                f"{stream.name} of type {theirs.dtype}: no key would be found. Declare both alike"
            )
            yield field, name, rule
        if "string" in (column.dtype, theirs.dtype) and column.normalize != theirs.normalize:
            rule = (
                f"has normalize={column.normalize!r}, and {key} of the stream {stream.name} has "
                f"normalize={theirs.normalize!r}: the same text would be two keys. Declare both "
                "alike"
            )
            yield field, name, rule


def kind(dtype: Dtype) -> str:
    """Return what two columns have in common whose equal values have the same text."""
    return "whole number" if dtype in ("int", "bigint") else dtype
