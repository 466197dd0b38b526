"""What the columns of the files are called in a definition."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from feature_store.definition.expressions import Unfit, columns_of
from feature_store.errors import UsageError
from feature_store.schema import EVENT_TIME, OF_EVENTS, OF_TRAINING, RESERVED
from feature_store.sources.readers import MARKS

_LONGEST = 60
"""Letters: what is made of a name must fit as well."""
_INDEX = re.compile(
    r"(unnamed: \d+|unnamed_\d+|index|level_\d+|_*index_level_\d+_*|rownames?|)\Z", re.IGNORECASE
)

AMOUNT = re.compile(
    r"(\A|_)(count|num|n|nb|visits|views|age|amount|price|cost|qty|quantity|total|days|hours|"
    r"minutes|seconds|score|rate|ratio|share|size|length|distance|balance|income|bid|depth|weight|"
    r"height|duration|delay|year|temp|temperature|speed)(_|\Z)"
)
"""Names of what is counted or measured."""


def declared_names(theirs: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the declared name of each column of the files, and why some can have none."""
    names: dict[str, str] = {}
    without: dict[str, str] = {}
    taken: dict[str, str] = {}
    # One that is spelt as it would be declared comes before those that are not.
    for name in sorted(theirs, key=lambda name: (name != declared(name), name)):
        if is_index(name):
            without[name] = "counts the rows, as pandas writes its index"
        elif "`" in name:
            without[name] = "has a back-tick in its name, which no expression can hold"
        elif name.casefold() in {mark.casefold() for mark in MARKS}:
            without[name] = "has the name of a column that every table has"
        elif name.casefold() in taken:
            without[name] = f"differs from {taken[name.casefold()]!r} in nothing but case"
        else:
            taken[name.casefold()] = name
            names[name] = _free(declared(name), names.values())
    return {name: names[name] for name in theirs if name in names}, without


def declared(name: str) -> str:
    """Return a name as a definition may hold it: small letters, digits and `_`, a letter first."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    bare = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST].strip("_")
    if not bare[:1].isalpha():
        bare = f"column_{bare}".strip("_")
    if bare in {*RESERVED, *OF_EVENTS}:
        return f"{bare}_given"
    return bare


def is_index(name: str) -> bool:
    """Whether a column's name is that of rows' numbers."""
    return bool(_INDEX.match(name.strip()))


def feature_name(name: str) -> str:
    """Return what a feature of a column is called: as the column, if it may."""
    return f"of_{name}" if name.startswith(OF_TRAINING) else name


def unused(name: str, names: Iterable[str]) -> str:
    """Return a name for what the files have not, that none of `names` has."""
    return _free(name, [*names, EVENT_TIME] if name != EVENT_TIME else names)


def in_expression(name: str) -> str:
    """Return a column's name as an expression writes it: in back-ticks if it is a word of SQL."""
    try:
        return name if columns_of(name, {name}) == {name} else f"`{name}`"
    except Unfit:
        return f"`{name}`"


def require_pipeline_name(name: str) -> None:
    """Do nothing if a pipeline, and so its two files, may be called so.

    Raises:
        UsageError: it may not.
    """
    import keyword

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or keyword.iskeyword(name):
        raise UsageError(
            f"name={name!r}: must be lower case letters, digits and _, a letter first, 60 at most, "
            "and no word of Python"
        )


def _free(name: str, taken: Iterable[str]) -> str:
    others = set(taken)
    if name not in others:
        return name
    number = 2
    while f"{name}_{number}" in others:
        number += 1
    return f"{name}_{number}"
