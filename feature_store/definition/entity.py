"""Which columns hold the same entity: a user, wherever a pipeline tells of one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from feature_store.definition.fields import Fields
from feature_store.definition.history import History
from feature_store.definition.label import Outcome
from feature_store.definition.sequence import Sequence
from feature_store.definition.spine import Rows

ROW = ""
"""Stands for what is scored, where a stream has its name."""

Place = tuple[str, str]
"""A stream's name, or `ROW`, and a column of it."""


def columns_of_entity(definition: Fields, column: str) -> dict[str, frozenset[str]]:
    """Return by stream the columns that hold what `column` holds; `ROW`: of what is scored.

    A column of the name counts, in whichever stream it is, and so does what is equal to one: the
    columns by which histories, outcomes and lookups are asked, and what they are equal to.

    Raises:
        KeyError: no stream of the pipeline has such a column.
    """
    equal: dict[Place, set[Place]] = defaultdict(set)
    for one, other in _links(definition):
        equal[one].add(other)
        equal[other].add(one)
    found = [(stream.name, column) for stream in definition.all_streams if column in stream.types]
    if column in definition.row.types:
        found.append((ROW, column))
    if not found:
        raise KeyError(column)
    for place in found:  # grows while it is walked
        found += [other for other in sorted(equal[place]) if other not in found]
    return {owner: frozenset(name for of, name in found if of == owner) for owner, _ in found}


def _links(definition: Fields) -> Iterator[tuple[Place, Place]]:
    """Yield what is equal to what."""
    spine = definition.spine
    if isinstance(spine, Rows):
        yield from (((ROW, name), (spine.stream.name, name)) for name in spine.stream.types)
    for side in spine.sides:
        yield from (((ROW, key), (side.stream.name, key)) for key in side.keys)
    parts: list[History | Sequence | Outcome] = [*definition.histories, *definition.sequences]
    for part in (*parts, *definition.outcomes):
        yield from _asked(definition, part.asked_by, definition.stream_of(part).name, part.keys)
    for lookup in definition.lookups:
        yield from _asked(definition, lookup.asked_by, lookup.stream.name, lookup.found_by)


def _asked(
    definition: Fields, asked_by: tuple[str, ...], stream: str, keys: tuple[str, ...]
) -> Iterator[tuple[Place, Place]]:
    lookups = {lookup.name: lookup.stream.name for lookup in definition.lookups}
    for name, key in zip(asked_by, keys, strict=True):
        owner, dot, column = name.partition(".")
        yield (lookups[owner], column) if dot else (ROW, name), (stream, key)
