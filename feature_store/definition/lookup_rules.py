"""The rules of what rows are told by other streams."""

from __future__ import annotations

from collections.abc import Mapping

from feature_store.definition.common_rules import within
from feature_store.definition.expressions import nearest
from feature_store.definition.fields import Fields
from feature_store.definition.key_rules import broken_count, broken_stream_keys, unlike_keys
from feature_store.definition.lookup import Lookup
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Column
from feature_store.definition.row_rules import by_name, known_beforehand

_RANGES = {"due_hours": (-8_784, 8_784), "max_age_hours": (1, 1_000_000)}


def broken_lookups(definition: Fields) -> Broken:
    """Yield what keeps lookups from being made, in the order in which they are."""
    before: dict[str, Column] = {}
    for lookup in definition.lookups:
        field = f"lookups.{lookup.name}"
        yield from within(lookup, _RANGES, f"{field}.")
        if definition.is_scored(lookup.stream):
            rule = "is the stream whose rows are scored: what it told before is a History of it"
            yield f"{field}.stream", lookup.stream.name, rule
        yield from _columns(lookup, field)
        yield from broken_stream_keys(lookup.stream, field, lookup.found_by)
        yield from broken_count(field, lookup.on, lookup.found_by)
        yield from _asked(definition, lookup, field, before)
        yield from _time(definition, lookup, field)
        before |= lookup.taken_columns


def _columns(lookup: Lookup, field: str) -> Broken:
    if not lookup.columns:
        yield f"{field}.columns", (), "must name at least one"
    for name in lookup.columns:
        of_stream = lookup.stream.types
        if name not in of_stream:
            rule = f"is not a column of the stream {lookup.stream.name}"
            yield f"{field}.columns", name, f"{rule}{nearest(name, of_stream)}"
        if lookup.columns.count(name) > 1:
            yield f"{field}.columns", name, "is named twice"
        if name in lookup.found_by:
            yield f"{field}.columns", name, "is a key of the lookup: it need not be read again"


def _asked(definition: Fields, lookup: Lookup, field: str, before: Mapping[str, Column]) -> Broken:
    """Yield what a row cannot be asked for, or is of another type than the stream's key."""
    which = f"{field}.{'on' if lookup.on else 'keys'}"
    _, of_row = by_name(definition.row)
    later = {lk.name for lk in definition.lookups} - {name.partition(".")[0] for name in before}
    for name in lookup.asked_by:
        owner, dot, _ = name.partition(".")
        if name in before:
            continue
        if dot and owner in later:
            rule = (
                f"is of the lookup {owner}, which does not come before this one: a lookup is asked "
                "by what is known before it, and so never in a circle. Put that one first"
            )
            yield which, name, rule
        elif dot:
            yield which, name, f"is of no lookup{nearest(name, [*before, *of_row])}"
        else:
            yield from known_beforehand(definition.row, which, (name,))
    known = {**of_row, **before}
    own = [(name, known[name]) for name in lookup.asked_by]
    yield from unlike_keys(lookup.stream, which, lookup.found_by, own)


def _time(definition: Fields, lookup: Lookup, field: str) -> Broken:
    """Yield what keeps the time from being known as of which something is looked up."""
    # What is scored without a row that is delivered is looked up as of the cut-off.
    needs_time = not lookup.is_snapshot and definition.stream is not None
    if lookup.is_snapshot and lookup.at is not None:
        rule = f"is for no snapshots: of {lookup.stream.name} the latest is taken"
        yield f"{field}.at", lookup.at, rule
    if needs_time and lookup.at is None:
        yield f"{field}.at", None, "is needed: a column of the row that says as of when"
    if lookup.at is not None:
        _, columns = by_name(definition.row)
        if lookup.at not in columns or columns[lookup.at].dtype != "timestamp":
            rule = f"must be a declared timestamp column{nearest(lookup.at, columns)}"
            yield f"{field}.at", lookup.at, rule
        yield from known_beforehand(definition.row, f"{field}.at", (lookup.at,))
    ends, of_stream = lookup.valid_until, lookup.stream.types
    if ends is not None and of_stream.get(ends) not in ("timestamp", "date"):
        rule = f"must be a timestamp or date column of the stream {lookup.stream.name}"
        yield f"{field}.valid_until", ends, f"{rule}{nearest(ends, of_stream)}"
    if not lookup.is_snapshot and lookup.max_age_hours is None:
        yield f"{field}.max_age_hours", None, "is needed: how old what is found may be"
