"""The Delta tables of one name, one after another: a new one where a column changed its type.

Delta cannot keep an int and a double in one column, and a constraint on a column holds for every
row of a table. So a definition that retypes a column, or has other scores, is written beside what
was there: `events`, then `events.g2`, `events.g3`. What lies in an older table stays
readable. Of a day that is in several, the newest table's counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from feature_store.errors import PartitionNotReady

if TYPE_CHECKING:
    from datetime import date

    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

    from feature_store.home import Home
    from feature_store.tables.storage import Storage

_WIDER = {("int", "bigint"), ("int", "double"), ("float", "double")}
"""(older, newer) types of a column whose values are all the same in both."""


def location(home: Home, pipeline: str, table: str, generation: int) -> str:
    """Return the folder of a generation."""
    return home.table(pipeline, folder(table, generation))


def folder(table: str, generation: int) -> str:
    """Return the name of the folder of a generation; the first has the table's plain name."""
    return table if generation == 1 else f"{table}.g{generation}"


def find(storage: Storage, home: Home, pipeline: str, table: str) -> list[int]:
    """Return the generations of a table that have a folder, oldest first."""
    plain = home.table(pipeline, table)
    folder, _, name = plain.rpartition("/")
    pattern = re.compile(rf"{re.escape(name)}(?:\.g(\d+))?\Z")
    matches = filter(None, map(pattern.match, storage.names(folder)))
    return sorted(int(match.group(1) or 1) for match in matches)


def retyped(stored: StructType, wanted: StructType) -> list[str]:
    """Return the columns that both have with different types, as `name: stored -> wanted`."""
    before = {field.name.lower(): field.dataType.simpleString() for field in stored.fields}
    found = []
    for field in wanted.fields:
        old, new = before.get(field.name.lower()), field.dataType.simpleString()
        if old is not None and old != new:
            found.append(f"{field.name}: {old} -> {new}")
    return found


def held_otherwise(stored: StructType, probabilities: Sequence[str]) -> list[str]:
    """Return the columns that only one of two tables holds to 0..1: that stored, or one of these.

    They are the floats of a table that has any: keys are of another type.
    """
    before = {field.name for field in stored.fields if field.dataType.simpleString() == "float"}
    return sorted(before ^ set(probabilities))


def together(
    frames: Sequence[DataFrame], table: str, days: Sequence[date], *, as_text: bool, next_step: str
) -> DataFrame:
    """Return the rows of several generations, oldest first, in the types of the newest.

    Args:
        frames: the rows of each.
        table: their name, for the error.
        days: the days in all but the newest, for the error.
        as_text: whether a column whose types do not fit becomes text; else it is refused.
        next_step: what to do about such a column.

    Raises:
        PartitionNotReady: a column of an older one has values that the newest's type may lack.
    """
    from pyspark.sql import functions as F  # whoever only looks for folders needs no Spark

    wanted = {field.name: field.dataType.simpleString() for field in frames[-1].schema.fields}
    unfit: dict[str, str] = {}
    for frame in frames[:-1]:
        for name, old in frame.dtypes:
            new = wanted.get(name, old)
            if old != new and (old, new) not in _WIDER:
                unfit[name] = f"{name} is {old} in them and {new} now"
    if unfit and not as_text:
        what = f"{table} (written before a column changed its type: {', '.join(unfit.values())})"
        raise PartitionNotReady(what, days, next_step)
    types = {**wanted, **dict.fromkeys(unfit, "string")}
    cast = [
        frame.select(*[F.col(f"`{n}`").cast(types.get(n, t)).alias(n) for n, t in frame.dtypes])
        for frame in frames
    ]
    return reduce(lambda left, right: left.unionByName(right, allowMissingColumns=True), cast)
