"""Rows that a person lets in although they break a rule of their stream.

Only rules of what a value may be can be put aside for a row: a value out of its range, or one that
is missing. What cannot be read, has no key, no time, or a time that cannot be, stays out: nothing
could be made of it, or a day would know what it cannot have known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Stream

_KINDS = ("range", "null")


def can_be_released(reason: str, stream: Stream) -> bool:
    """Whether a row may be let in although it was set aside for a reason, such as `range(age)`."""
    kind, is_of_column, rest = reason.partition("(")
    return bool(is_of_column) and kind in _KINDS and _is_free(rest.removesuffix(")"), stream)


def _is_free(column: str, stream: Stream) -> bool:
    """Whether nothing but its own rule holds a column to anything."""
    times = {group.at for group in stream.knowns}
    names = {one.name for one in stream.columns}
    return column in names - times - {*stream.keys, stream.event_time}


def let_in(typed_df: DataFrame, released_df: DataFrame) -> DataFrame:
    """Return typed rows in which released ones are held to no rule that can be put aside.

    Args:
        typed_df: as `typed_rows` makes them, with `_strict`: the first rule that a row breaks of
            those that cannot be put aside.
        released_df: `ds` and `row`, raw rows as the quarantine has them. Those of the same content
            are let in together.
    """
    released = released_df.select(DS, F.col("row").alias("_raw"), F.lit(True).alias("_let_in"))
    joined = typed_df.join(F.broadcast(released.distinct()), [DS, "_raw"], "left")
    is_let_in = F.coalesce("_let_in", F.lit(False))
    reason = F.when(is_let_in, F.col("_strict")).otherwise(F.col("_reason"))
    return joined.withColumn("_reason", reason).select(
        *(name for name in typed_df.columns if name != "_strict")
    )
