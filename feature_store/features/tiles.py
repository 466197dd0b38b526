"""Daily partial aggregates, and history windows as sums of them.

A tile holds, for one event day, one history and one key: how many values there are and their exact
sum, apart for each day from which they may be used. So a value that became known late, or whose key
did, counts from the day after it was known, and a window never sees it earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.errors import PartitionNotReady
from feature_store.events.versions import SINCE, UNTIL, earlier_versions, latest_version
from feature_store.features.sums import (
    BAND,
    DIGITS,
    band_of,
    next_value,
    places,
    rounded,
    scaled,
)
from feature_store.features.values import last_known, number, resolved
from feature_store.schema import DS, TILES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from feature_store.definition import Definition, History
    from feature_store.features.values import Resolved

_SEPARATOR = "\u001f"


def history_key(history: History) -> Column:
    """Return the text key of a row for a history; null where one of its columns is null."""
    parts = [F.col(key).cast("string") for key in history.keys]
    return reduce(lambda left, right: F.concat(left, F.lit(_SEPARATOR), right), parts)


def build_tiles(
    events_df: DataFrame, definition: Definition, histories: Sequence[History] | None = None
) -> DataFrame:
    """Return the tiles of the days in `events_df`, of all histories together.

    Args:
        events_df: the events.
        definition: the pipeline.
        histories: those of its histories to make tiles of; all by default.

    Columns: ds (the event day), history, key, usable_from (the first day whose cut-off is after
    the values and their keys were known), band (of the values' size), n (count) and the digits of
    their sum; see `feature_store.features.sums`. A value that was corrected counts until its
    correction is known: from then on a tile takes it off again.
    """
    made = definition.histories if histories is None else histories
    changes = latest_version(events_df, definition).transform(_values, definition, made)
    changes = changes.withColumn("sign", F.lit(1))
    earlier = earlier_versions(events_df, definition)
    if earlier is not None:
        # A version of which something became known only after its correction was never seen.
        seen = earlier.transform(_values, definition, made).where(F.col("known_at") < F.col(UNTIL))
        begins = seen.withColumn("sign", F.lit(1))
        ends = seen.withColumns({"known_at": F.col(UNTIL), "sign": F.lit(-1)})
        changes = changes.unionByName(begins).unionByName(ends)
    shifted = F.col("known_at") - F.expr(f"INTERVAL {definition.cutoff_hours} HOURS")
    rows = (
        changes.withColumn("usable_from", F.date_add(shifted.cast("date"), 1))
        .withColumn(BAND, band_of(F.col("value")))
        .withColumn("_0", scaled(F.col("value"), F.col(BAND)))
    )
    for index in range(1, len(DIGITS)):
        rows = rows.withColumn(f"_{index}", next_value(F.col(f"_{index - 1}")))
    digits = [
        F.sum(F.col("sign") * F.col(f"_{i}").cast("bigint")).alias(name)
        for i, name in enumerate(DIGITS)
    ]
    sums = rows.groupBy(DS, "history", "key", "usable_from", BAND).agg(
        F.sum("sign").alias("n"), *digits
    )
    # What is taken off on the day on which the same is added changes nothing.
    return sums.where(" OR ".join(f"{name} <> 0" for name in ("n", *DIGITS)))


def _values(
    versions_df: DataFrame, definition: Definition, histories: Sequence[History]
) -> DataFrame:
    """Return what every history takes of a version: of which key, known when, and until when."""
    spark = versions_df.sparkSession
    candidates = [
        F.struct(
            F.lit(history.name).alias("history"),
            history_key(history).alias("key"),
            number(spark, history.value).alias("value"),
            last_known(
                definition,
                history.known,
                {*history.keys, *_resolved(spark, definition, history).columns},
            ).alias("known_at"),
        )
        for history in histories
    ]
    # Not before the correction that made this version; `greatest` passes over a null.
    known_at = F.greatest("known_at", SINCE)
    return (
        versions_df.select(DS, SINCE, UNTIL, F.explode(F.array(*candidates)).alias("t"))
        .select(DS, SINCE, UNTIL, "t.*")
        .where("key IS NOT NULL AND value IS NOT NULL AND known_at IS NOT NULL")
        .select(DS, UNTIL, "history", "key", "value", known_at.alias("known_at"))
    )


def _resolved(spark: SparkSession, definition: Definition, history: History) -> Resolved:
    return resolved(spark, definition, f"histories.{history.name}", history.value)


def window_sums(tiles_df: DataFrame, definition: Definition, days: Sequence[date]) -> DataFrame:
    """Return for each of `days`, history and key the sums over every window that history has.

    Columns: ds (the day the sums are for), history, key, n_<w>, total_<w> for each window w of the
    definition; no row where every n is 0. A tile of day t counts for day d when d - w <= t < d and
    usable_from <= d.

    A tile is added on the first day that it counts for and taken off after the last, so the sums
    of many days are running sums: a tile costs a row for each window, not one for each day. That
    they are of whole numbers makes them exact.

    Looks which sizes of values there are, unless all histories are of whole numbers.
    """
    first, last = min(days), max(days)
    windows = sorted({w for history in definition.histories for w in history.windows})
    parts = {"n": F.col("n"), **_digits_by_place(tiles_df, definition, days)}
    enters = F.greatest(F.date_add(DS, 1), F.col("usable_from"), F.lit(first))
    leaves = {window: F.date_add(DS, window + 1) for window in windows}
    counting = tiles_df.where((enters < leaves[windows[-1]]) & (enters <= F.lit(last)))
    sums = [
        F.sum(
            F.when((F.col("_left") == 0) & (enters < leaves[window]), part).when(
                F.col("_left") == window, -part
            )
        ).alias(f"{name}_{window}")
        for window in windows
        for name, part in parts.items()
    ]
    by_key = ["history", "key"]
    is_counted = " OR ".join(f"n_{window} <> 0" for window in windows)
    if first == last:  # nothing leaves a window before another day
        entered = counting.withColumns({"day": enters, "_left": F.lit(0)})
        summed = entered.groupBy("day", *by_key).agg(*sums).where(is_counted)
    else:
        changes = counting.transform(_steps, enters, leaves, last).repartition(*by_key)
        daily = changes.groupBy("day", *by_key).agg(*sums)
        summed = _running(daily, by_key, is_counted, days)
    named = [name for name in parts if name != "n"]
    totals = []
    for window in windows:
        # A place at which none of the key's values has a digit holds null: it adds nothing.
        by_place = {int(p): F.coalesce(f"{p}_{window}", F.lit(0)) for p in named}
        totals.append(rounded(by_place).alias(f"total_{window}"))
    counts = [F.coalesce(f"n_{window}", F.lit(0)).alias(f"n_{window}") for window in windows]
    return summed.select(F.col("day").alias(DS), *by_key, *counts, *totals)


def _steps(
    tiles_df: DataFrame, enters: Column, leaves: Mapping[int, Column], last: date
) -> DataFrame:
    """Return each tile once for the day it begins to count, and once for each window it leaves.

    Adds `day` and `_left`: the window, or 0.
    """
    steps = [F.struct(F.lit(0).alias("_left"), enters.alias("day"))]
    steps += [
        F.when(
            (enters < day) & (day <= F.lit(last)),
            F.struct(F.lit(window).alias("_left"), day.alias("day")),
        )
        for window, day in leaves.items()
    ]
    exploded = tiles_df.withColumn("_step", F.explode(F.array_compact(F.array(*steps))))
    return exploded.withColumns({"day": F.col("_step.day"), "_left": F.col("_step._left")})


def _running(
    daily_df: DataFrame, by_key: Sequence[str], is_counted: str, days: Sequence[date]
) -> DataFrame:
    """Return, from the changes of some days, the sums that hold and count on each of `days`."""
    in_order = Window.partitionBy(*by_key).orderBy("day")
    names = [name for name in daily_df.columns if name not in (*by_key, "day")]
    until = F.date_sub(F.lead("day").over(in_order), 1)
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    running = daily_df.select(
        *by_key,
        "day",
        F.coalesce(until, F.lit(max(days))).alias("_until"),
        *[F.sum(name).over(so_far).alias(name) for name in names],
    )
    return (
        running.where(is_counted)
        .withColumn("day", F.explode(F.sequence("day", "_until")))
        .where(F.col("day").isin(list(days)))
        .drop("_until")
    )


def _digits_by_place(
    tiles_df: DataFrame, definition: Definition, days: Sequence[date]
) -> dict[str, Column]:
    """Return what a tile adds to each place of a sum, by the place.

    Raises:
        PartitionNotReady: there are tiles of an older layout.
    """
    spark = tiles_df.sparkSession
    if BAND not in tiles_df.columns:
        raise _older_tiles(definition, days)
    if all(_resolved(spark, definition, history).is_whole for history in definition.histories):
        # Whole numbers of 32 bits are their own first digit, in band 0.
        return {"0": F.coalesce(DIGITS[0], F.raise_error(str(_older_tiles(definition, days))))}
    bands = {row[0] for row in tiles_df.select(BAND).distinct().collect()} or {0}
    if None in bands:
        raise _older_tiles(definition, days)
    return {
        str(place): reduce(
            lambda column, digit: column.when(F.col(BAND) == digit[0], F.col(DIGITS[digit[1]])),
            rest,
            F.when(F.col(BAND) == band, F.col(DIGITS[index])),
        )
        for place, ((band, index), *rest) in places(sorted(bands)).items()
    }


def _older_tiles(definition: Definition, days: Sequence[date]) -> PartitionNotReady:
    step = (
        "Tiles there are of an older layout. Run: nightscore prepare --pipeline "
        f"{definition.name} --from {min(days)} --to {max(days)}"
    )
    return PartitionNotReady(TILES, days, step)


def join_histories(rows_df: DataFrame, sums_df: DataFrame, definition: Definition) -> DataFrame:
    """Return `rows_df` with the feature columns of every history."""
    joined = rows_df
    for history in definition.histories:
        features = [
            _aggregate(aggregate, window).alias(name)
            for name, aggregate, window in history.columns()
        ]
        sums = sums_df.where(F.col("history") == history.name).select(
            F.col(DS).alias("_ds"), F.col("key").alias("_key"), *features
        )
        on = (F.col(DS) == F.col("_ds")) & (history_key(history) == F.col("_key"))
        joined = joined.join(sums, on, "left").drop("_ds", "_key")
        counts = {n: F.coalesce(n, F.lit(0.0)) for n, a, _ in history.columns() if a == "count"}
        joined = joined.withColumns(counts)
    return joined


def empty_histories(definition: Definition) -> dict[str, Column]:
    """Return the history columns of a row that has no history at all."""
    columns = (column for history in definition.histories for column in history.columns())
    return {
        name: F.lit(0.0 if aggregate == "count" else None).cast("double")
        for name, aggregate, _ in columns
    }


def _aggregate(aggregate: str, window: int) -> Column:
    count, total = F.col(f"n_{window}").cast("double"), F.col(f"total_{window}")
    if aggregate == "count":
        return count
    # What was counted may have been taken off again.
    return F.when(count != 0, total if aggregate == "sum" else total / count)
