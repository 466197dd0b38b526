"""The rules of what is made of tiles: histories, sequences, outcomes, what the days before tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from feature_store.definition.common_rules import within
from feature_store.definition.fields import Fields
from feature_store.definition.history import History
from feature_store.definition.key_rules import broken_count, broken_stream_keys, unlike_keys
from feature_store.definition.label import Outcome
from feature_store.definition.naming import Broken
from feature_store.definition.parts import Dtype
from feature_store.definition.row_rules import (
    broken_expression,
    known_beforehand,
    known_by_then,
)
from feature_store.definition.sequence import Sequence
from feature_store.definition.spine import Active, Top
from feature_store.definition.spine_rules import sides_with_field

_WINDOW_DAYS = (1, 3_660)
_OF_OUTCOME = {"within_days": (1, 3_660), "settle_days": (0, 3_660), "at_least": (1e-9, 1e15)}
TRUTHS: tuple[Dtype, ...] = ("boolean",)
"""Types of what holds or does not."""
_VALUES: tuple[Dtype, ...] = ("boolean", "int", "bigint", "double")


def broken_tiles(definition: Fields) -> Broken:
    """Yield what keeps histories, outcomes and the spine from being made, or found."""
    for field, part in _of_tiles(definition):
        stream, types = definition.stream_of(part), _VALUES
        if isinstance(part, Active) or (isinstance(part, Outcome) and part.at_least is None):
            types = TRUTHS
        if isinstance(part, History | Sequence) and part.takes_any_type:
            types = get_args(Dtype)
        if isinstance(part, History | Sequence) and part.where is not None:
            yield from broken_expression(stream, f"{field}.where", part.where, TRUTHS)
        yield from broken_expression(stream, field, part.counted, types)
        yield from known_by_then(stream, field, part.counted, part.known)
    yield from _histories(definition)
    yield from _outcomes(definition)
    for field, part in _asked(definition):
        yield from _keys(definition, part, field)


def broken_streams(definition: Fields) -> Broken:
    """Yield what is of a stream that has the name of another one, or is of the wrong kind."""
    counted = [(field, definition.stream_of(part)) for field, part in _of_tiles(definition)]
    scored = [("spine", definition.stream)] if definition.stream else []
    for field, stream in [*scored, *counted]:
        if stream.kind == "snapshots":
            rule = "is of kind='snapshots', which tell how things are: it is only looked up in"
            yield f"{field}.stream", stream.name, rule
    looked_up = [(f"lookups.{lookup.name}", lookup.stream) for lookup in definition.lookups]
    for field, stream in [*counted, *looked_up]:
        same = next(known for known in definition.all_streams if known.name == stream.name)
        if same != stream:
            rule = "is the name of two streams that differ: give one of them another"
            yield f"{field}.stream", stream.name, rule


def _of_tiles(
    definition: Fields,
) -> Iterator[tuple[str, Active | Top | History | Sequence | Outcome]]:
    """Yield what is made of tiles, with the field that it stands in."""
    yield from sides_with_field(definition)
    yield from _asked(definition)


def _asked(definition: Fields) -> Iterator[tuple[str, History | Sequence | Outcome]]:
    """Yield what is made of tiles and asked by columns of what is scored."""
    yield from ((f"histories.{history.name}", history) for history in definition.histories)
    yield from ((f"sequences.{sequence.name}", sequence) for sequence in definition.sequences)
    yield from ((f"labels.{outcome.name}", outcome) for outcome in definition.outcomes)


def _histories(definition: Fields) -> Broken:
    low, high = _WINDOW_DAYS
    for history in definition.histories:
        field = f"histories.{history.name}"
        if not history.windows or not low <= min(history.windows) <= max(history.windows) <= high:
            yield f"{field}.windows", history.windows, f"must be days in {low}..{high}, one or more"
        if not history.aggregates:
            yield f"{field}.aggregates", (), "must name at least one"


def _outcomes(definition: Fields) -> Broken:
    for outcome in definition.outcomes:
        yield from within(outcome, _OF_OUTCOME, f"labels.{outcome.name}.")


def _keys(definition: Fields, part: History | Sequence | Outcome, field: str) -> Broken:
    stream = definition.stream_of(part)
    yield from broken_stream_keys(stream, field, part.keys)
    yield from broken_count(field, part.on, part.keys)
    which = f"{field}.{'on' if part.on else 'keys'}"
    yield from known_beforehand(definition.row, which, part.asked_by)
    own = [(name, definition.row.column(name)) for name in part.asked_by]
    yield from unlike_keys(stream, which, part.keys, own)
