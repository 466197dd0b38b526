"""The rules that a stream keeps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from feature_store.definition.common_rules import (
    days_in_order,
    named_once,
    require_kept,
    told_apart,
    within,
)
from feature_store.definition.expressions import nearest
from feature_store.definition.naming import NAME_RULE, Broken, is_name, reserved
from feature_store.definition.stream_fields import StreamFields
from feature_store.definition.typed import wrong_types
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
    broken = chain(
        wrong_types("", stream, StreamFields),
        days_in_order(stream),
        within(stream, _RANGES),
        _event_days(stream),
        told_apart(stream.source, "source"),
        _names(stream),
        _columns(stream),
    )
    require_kept(stream, broken, what="stream")


def _event_days(stream: StreamFields) -> Broken:
    first, last = stream.event_days
    if not -_MOST_EVENT_DAYS <= first <= last <= _MOST_EVENT_DAYS:
        rule = f"must be two days in {-_MOST_EVENT_DAYS}..{_MOST_EVENT_DAYS}, the earlier first"
        yield "event_days", stream.event_days, rule


def _names(stream: StreamFields) -> Broken:
    if not is_name(stream.name):
        yield "name", stream.name, NAME_RULE
    yield from named_once("knowns", stream.knowns)
    yield from named_once("columns", stream.columns)
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
