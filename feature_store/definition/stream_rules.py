"""The rules that a stream keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain

from feature_store.definition.expressions import nearest
from feature_store.definition.naming import NAME_RULE, Broken, is_name, reserved
from feature_store.definition.parts import plain
from feature_store.definition.stream_fields import StreamFields
from feature_store.definition.typed import wrong_types
from feature_store.errors import DefinitionError
from feature_store.schema import OF_EVENTS

# The least and the largest value, both allowed. Wide: they are there for slips, not for taste.
_RANGES: Mapping[str, tuple[float, float]] = {
    "max_bad_share": (0, 1),
    "max_known_days": (0, 36_600),
}
_MOST_EVENT_DAYS = 3_660


def check(stream: StreamFields) -> None:
    """Do nothing if the stream keeps every rule.

    Raises:
        DefinitionError: the first rule that it breaks, with the field and its value.
    """
    # One after the other: what comes later is not looked at once something is wrong.
    broken = chain(
        wrong_types("", stream, StreamFields),
        _days(stream),
        _ranges(stream),
        _source(stream),
        _names(stream),
        _columns(stream),
    )
    first = next(broken, None)
    if first is not None:
        raise DefinitionError(str(stream.name), *first, what="stream")


def _days(stream: StreamFields) -> Broken:
    if stream.last_day is not None and stream.last_day < stream.first_day:
        yield "last_day", stream.last_day, f"must not be before first_day={stream.first_day}"


def _ranges(stream: StreamFields) -> Broken:
    for name, (low, high) in _RANGES.items():
        value = getattr(stream, name)
        if not low <= value <= high:
            yield name, value, f"must be in {low}..{high}"
    first, last = stream.event_days
    if not -_MOST_EVENT_DAYS <= first <= last <= _MOST_EVENT_DAYS:
        rule = f"must be two days in {-_MOST_EVENT_DAYS}..{_MOST_EVENT_DAYS}, the earlier first"
        yield "event_days", stream.event_days, rule


def _source(stream: StreamFields) -> Broken:
    """Yield a source whose fields have no digest: what rows are made of must be told apart."""
    try:
        json.dumps(plain(stream.source))
    except TypeError as error:
        rule = f"fields must be text, numbers, dates or tuples of these: {error}"
        yield "source", stream.source, rule


def _names(stream: StreamFields) -> Broken:
    if not is_name(stream.name):
        yield "name", stream.name, NAME_RULE
    for field in ("knowns", "columns"):
        names = [part.name for part in getattr(stream, field)]
        if len({name.lower() for name in names}) != len(names):
            yield field, names, "names must be unique, whatever their case"
    for column in stream.columns:
        if not is_name(column.name):
            yield "columns", column.name, NAME_RULE
        if column.name in OF_EVENTS:
            yield "columns", column.name, reserved(OF_EVENTS)
    if len(set(stream.keys)) != len(stream.keys):
        yield "keys", stream.keys, "must name each column once"


def _columns(stream: StreamFields) -> Broken:
    groups = {group.name for group in stream.knowns}
    columns = {column.name: column.dtype for column in stream.columns}
    for column in stream.columns:
        if column.known not in groups:
            rule = f"must be one of {sorted(groups)}{nearest(column.known, groups)}"
            yield f"columns.{column.name}.known", column.known, rule
    for group in stream.knowns:
        if columns.get(group.at) != "timestamp":
            rule = f"must be a declared timestamp column{nearest(group.at, columns)}"
            yield f"knowns.{group.name}.at", group.at, rule
    for name in (*stream.keys, stream.event_time):
        if name not in columns:
            rule = f"must be a declared column, one of {sorted(columns)}{nearest(name, columns)}"
            yield "keys/event_time", name, rule
    if columns[stream.event_time] not in ("timestamp", "date"):
        yield "event_time", stream.event_time, "must be a declared timestamp or date column"
    if not stream.keys:
        yield "keys", (), "must name at least one column"
