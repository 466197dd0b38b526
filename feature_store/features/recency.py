"""The last day before a row's own on which its key was told of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame


def with_last_day(
    asked_df: DataFrame, tiles_df: DataFrame, digests: Mapping[int, str]
) -> DataFrame:
    """Return `asked_df` with `_last`: the last day whose tiles hold a value; null if none does.

    Args:
        asked_df: rows with ds, _history and _key.
        tiles_df: tiles of the windows before the rows.
        digests: what the tiles are made of, of each history that is wanted, by its place
            `_history`; rows that ask another have null.

    A tile of day t counts for day d when t < d and usable_from <= d, for as long as corrections
    that are usable by then leave a value of it.
    """
    lists = _told(tiles_df.where(F.col("history").isin(list(digests.values()))))
    asked = [F.lit(item) for pair in digests.items() for item in pair]
    digest = F.create_map(*asked)[F.col("_history")]
    joined = asked_df.withColumn("history", digest).join(lists, ["history", "_key"], "left")
    counting = F.filter(
        "_told",
        lambda told: (
            (told["day"] < F.col(DS))
            & (told["since"] <= F.col(DS))
            & F.coalesce(told["until"] > F.col(DS), F.lit(True))
        ),
    )
    last = F.array_max(F.transform(counting, lambda told: told["day"]))
    return joined.withColumn("_last", last).drop("_told", "history")


def _told(tiles_df: DataFrame) -> DataFrame:
    """Return, for each history and key, on which days it was told of, since and until when."""
    of_day = Window.partitionBy("history", "key", DS).orderBy("usable_from")
    # All bands of a day together: only how many values there are matters.
    counts = tiles_df.groupBy("history", "key", DS, "usable_from").agg(F.sum("n").alias("n"))
    standing = counts.select(
        "history",
        F.col("key").alias("_key"),
        F.sum("n").over(of_day).alias("_n"),
        F.struct(
            F.col(DS).alias("day"),
            F.col("usable_from").alias("since"),
            F.lead("usable_from").over(of_day).alias("until"),
        ).alias("_told"),
    )
    return (
        standing.where("_n > 0")
        .groupBy("history", "_key")
        .agg(F.collect_list("_told").alias("_told"))
    )
