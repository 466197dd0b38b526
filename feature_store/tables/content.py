"""What a day of a table holds, as digests that do not depend on the order of its rows.

A table says by a `Content` which of its rows, and what of them, are read together: a window of
history reads of a day of tiles only what was known before its own cut-off, so tiles are digested
apart for each day from which they may be used. A reader pins the sum of the parts that it reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PART = "_part"
ALL = "all"
_AND = "/"

Sums = tuple[int, int, int]
"""Of the rows' hashes: the sum of their low halves, of their high halves, and how many."""
Parts = Mapping[str, Sums]


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """How the rows of a table are split into parts that are read together."""

    rule: str
    """Names the split: parts that another rule made say nothing to this one."""
    split: Callable[[DataFrame], DataFrame]
    """Adds `_part` (string) to rows, and may repeat a row in several parts."""


WHOLE = Content(rule="whole", split=lambda rows: rows.withColumn(PART, F.lit(ALL)))
"""Every reader reads all of a day."""


def by_day(rule: str, usable_from: str, of: str = "") -> Content:
    """Return the split by the day from which a row may be used.

    Args:
        rule: a name that changes when `usable_from` means something else.
        usable_from: an expression for a date; null for a row that is never used.
        of: a text column by whose values the rows are split before.
    """

    def split(rows: DataFrame) -> DataFrame:
        # No expression before there are rows: a plan asks for the split while there is no Spark.
        return rows.withColumn(PART, usable_parts(F.expr(usable_from), F.col(of) if of else None))

    return Content(rule=rule, split=split)


def usable_parts(day: Column, owner: Column | None = None) -> Column:
    """Return the name of the part of a row that is usable from a day, null for never.

    Args:
        day: the day.
        owner: what the row is of, where the rows of a table are read apart by it.
    """
    text = F.coalesce(day.cast("string"), F.lit(""))
    return text if owner is None else F.concat(owner, F.lit(_AND), text)


def part_sums(rows: DataFrame, content: Content) -> dict[date, dict[str, Sums]]:
    """Return the sums of every part of every day of `rows`, in one Spark job."""
    split = content.split(rows)
    names = sorted(name for name in split.columns if name not in (DS, PART))
    hashed = split.select(DS, PART, row_hash(names).alias("_hash"))
    low = F.col("_hash").bitwiseAND(F.lit(0xFFFFFFFF))
    high = F.shiftrightunsigned("_hash", 32)
    # Halves are summed, for 64 bits would overflow; a sum forgets the order and no row.
    summed = hashed.groupBy(DS, PART).agg(
        F.sum(low).alias("low"), F.sum(high).alias("high"), F.count(F.lit(1)).alias("n")
    )
    found: dict[date, dict[str, Sums]] = {}
    for row in summed.collect():
        own = found.setdefault(row[DS], {})
        own[row[PART]] = (int(row["low"]), int(row["high"]), int(row["n"]))
    return found


def row_hash(names: Sequence[str]) -> Column:
    """Return 64 bits over a row's named values; a null adds nothing.

    So a column that a table gained later, and that is null in its older days, changes none of them.
    """
    nothing = F.lit(0).cast("bigint")
    values = [
        F.when(F.col(f"`{name}`").isNotNull(), F.xxhash64(F.lit(name), F.col(f"`{name}`")))
        .otherwise(nothing)
        for name in names
    ]  # fmt: skip
    # Hashed once more: else values could change places between rows unseen.
    return F.xxhash64(reduce(lambda left, right: left.bitwiseXOR(right), values, nothing))


def digest(parts: Parts, names: Iterable[str]) -> str:
    """Return 16 hex digits over the rows of the named parts together."""
    chosen = [parts[name] for name in names if name in parts]
    total = [sum(sums[i] for sums in chosen) for i in range(3)]
    return hashlib.sha256(repr(total).encode()).hexdigest()[:16]


def digest_of(
    parts: Parts,
    until: date | None = None,
    part: str = ALL,
    of: Collection[str] | None = None,
) -> str:
    """Return the digest of what a reader reads: one part, or those usable on a day.

    Args:
        parts: the sums by part.
        until: the last day from which a part may be usable; for tables that are split by day.
        part: the part, for tables that are not.
        of: what to read of a table that is split by what its rows are of and then by day.
    """
    if until is None:
        return digest(parts, [part])
    usable = []
    for name in parts:
        owner, _, day = name.rpartition(_AND)
        if day and day <= until.isoformat() and (of is None or owner in of):
            usable.append(name)
    return digest(parts, usable)
