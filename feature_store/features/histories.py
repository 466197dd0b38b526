"""History windows: what the tiles of a row's keys add up to over the days before it.

All histories and days in one pass. A tile is added on the first day that it counts for and taken
off after the last, so the sums of many days are running sums: a tile costs a row for each window of
its history, and not one for each day. The rows that ask stand among these steps, and a sum is read
where a row asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.definition.history import COUNTS
from feature_store.errors import PartitionNotReady
from feature_store.features.asks import Wanted, of_ask, places_of
from feature_store.features.kept import with_kept
from feature_store.features.recency import with_last_day
from feature_store.features.sums import BAND, DIGITS, places, rounded
from feature_store.features.tiles import key_text, resolved_value
from feature_store.schema import DS, TILES

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Aggregate, Definition, History, Tiling
    from feature_store.definition.history import TileKind


def known_histories(
    rows_df: DataFrame, tiles_df: DataFrame, wanted: Wanted, days: Sequence[date]
) -> DataFrame:
    """Return `ds`, keys and history features of each row that has a key of some history.

    Args:
        rows_df: rows of `days` known before their cut-off, told apart by `ds` and the keys.
        tiles_df: tiles of the windows before `days`.
        wanted: the histories, and what tells the rows apart.
        days: the days of the rows.
    """
    frames = []
    if any(ask.tiling.is_summed for ask in wanted.asks):
        sums = window_sums(asked(rows_df, wanted), tiles_df, wanted, days)
        lasts = {
            place: ask.tiling.digest
            for place, ask in enumerate(wanted.asks)
            if ask.tiling.kind == "sums" and "days_since_last" in ask.history.aggregates
        }
        frames.append(with_last_day(sums, tiles_df, lasts) if lasts else sums)
    if not all(ask.tiling.is_summed for ask in wanted.asks):
        frames.append(with_kept(asked(rows_df, wanted, summed=False), tiles_df, wanted, days))
    found = reduce(lambda some, more: some.unionByName(more, allowMissingColumns=True), frames)
    features = [
        _feature(wanted, history, aggregate, window).alias(name)
        for history in wanted.histories
        for name, aggregate, window in history.columns()
    ]
    return found.groupBy(DS, *wanted.keys).agg(*features)


def join_histories(rows_df: DataFrame, histories_df: DataFrame, wanted: Wanted) -> DataFrame:
    """Return `rows_df` with the feature columns of every history; a row without a key has none."""
    joined = rows_df.join(histories_df, [DS, *wanted.keys], "left")
    names = [n for h in wanted.histories for n, aggregate, _ in h.columns() if aggregate in COUNTS]
    return joined.withColumns({name: F.coalesce(name, F.lit(0.0)) for name in names})


def empty_histories(wanted: Wanted) -> dict[str, Column]:
    """Return the history columns of a row that has no history at all."""
    columns = (column for history in wanted.histories for column in history.columns())
    return {
        name: F.lit(0.0 if aggregate in COUNTS else None).cast("double")
        for name, aggregate, _ in columns
    }


def asked(rows_df: DataFrame, wanted: Wanted, *, summed: bool = True) -> DataFrame:
    """Return each row once for each ask that it has the key of: ds, keys, _history and _key.

    `_history` is the place among what is asked; of those that sums answer, or of the others.
    """
    keys = F.array(
        *[
            key_text(ask.history.asked_by) if ask.tiling.is_summed == summed else F.lit(None)
            for ask in wanted.asks
        ]
    )
    each = rows_df.select(DS, *wanted.keys, F.posexplode(keys).alias("_history", "_key"))
    return each.where(F.col("_key").isNotNull())


def window_sums(
    asked_df: DataFrame, tiles_df: DataFrame, wanted: Wanted, days: Sequence[date]
) -> DataFrame:
    """Return `asked_df` with the sums over every window of the history that is asked.

    Adds _n_<i> and _total_<i> for the history's window i, in its own order. A tile of day t counts
    for day d when d - w <= t < d and usable_from <= d. Sums are of whole numbers, and so exact.

    Looks which sizes of values there are, unless all sums are of whole numbers.

    Args:
        asked_df: rows of `days` with _history and _key, as `asked` gives them.
        tiles_df: tiles of the windows before `days`.
        wanted: the histories, and what tells the rows apart.
        days: the days of the rows.
    """
    tilings = [ask.tiling for ask in wanted.asks if ask.tiling.is_summed]
    tiles_df = tiles_df.where(F.col("history").isin([tiling.digest for tiling in tilings]))
    parts = {"n": F.col("n"), **digits_by_place(tiles_df, tilings, wanted.definition, days)}
    steps = _steps(tiles_df, parts, wanted, days)
    changes = [name for name in steps.columns if name not in ("_history", "_key", "_day")]
    every = asked_df.withColumn("_day", F.col(DS)).unionByName(steps, allowMissingColumns=True)
    # By day alone, and so with all of that day: what enters or leaves on it holds for it. The key
    # first, because sorting looks at the start of the first column before it compares whole rows.
    until = (
        Window.partitionBy("_key", "_history")
        .orderBy("_day")
        .rangeBetween(Window.unboundedPreceding, Window.currentRow)
    )
    running = every.withColumns({name: F.sum(name).over(until) for name in changes})
    windows = range(len(wanted.windows))
    counts = [F.coalesce(f"_n_{i}", F.lit(0)).alias(f"_n_{i}") for i in windows]
    totals = [
        # A place at which none of the key's values has a digit holds null: it adds nothing.
        rounded({int(p): F.coalesce(f"_{p}_{i}", F.lit(0)) for p in parts if p != "n"}).alias(
            f"_total_{i}"
        )
        for i in windows
    ]
    return running.where(F.col(DS).isNotNull()).select(*asked_df.columns, *counts, *totals)


def _steps(
    tiles_df: DataFrame, parts: Mapping[str, Column], wanted: Wanted, days: Sequence[date]
) -> DataFrame:
    """Return each tile once for the day it begins to count, and once for each window it leaves.

    Columns: _history, _key, _day, and _<part>_<i>: what window i of the history changes by on that
    day; null where it does not.
    """
    first, last = min(days), max(days)

    def after(windows: Sequence[int | None]) -> Column:
        """Return the first day after a tile's window, given that of each ask."""
        return F.date_add(DS, of_ask(windows) + 1)

    tiles = tiles_df.select(
        DS,
        places_of(wanted.asks).alias("_history"),
        F.col("key").alias("_key"),
        F.greatest(F.date_add(DS, 1), "usable_from", F.lit(first)).alias("_enters"),
        *[part.alias(f"_{name}") for name, part in parts.items()],
    )
    enters = F.col("_enters")
    counting = tiles.where((enters < after(wanted.longest_windows)) & (enters <= F.lit(last)))
    leaves = [after(windows) for windows in wanted.windows]
    steps = [enters]
    if first < last:  # of a single day, nothing leaves a window before another
        steps += [F.when((enters < day) & (day <= F.lit(last)), day) for day in leaves]
    stepping = counting.select("*", F.posexplode(F.array(*steps)).alias("_step", "_day"))
    changes = [
        F.when((F.col("_step") == 0) & (enters < day), F.col(f"_{name}"))
        .when(F.col("_step") == i + 1, -F.col(f"_{name}"))
        .alias(f"_{name}_{i}")
        for i, day in enumerate(leaves)
        for name in parts
    ]
    return stepping.where(F.col("_day").isNotNull()).select("_history", "_key", "_day", *changes)


def digits_by_place(
    tiles_df: DataFrame, tilings: Sequence[Tiling], definition: Definition, days: Sequence[date]
) -> dict[str, Column]:
    """Return what a tile adds to each place of a sum, by the place.

    Args:
        tiles_df: tiles, of these tilings.
        tilings: what they are made of.
        definition: the pipeline, for whoever has to make them anew.
        days: the days that they are for.

    Raises:
        PartitionNotReady: there are tiles of an older layout.
    """
    spark = tiles_df.sparkSession
    if BAND not in tiles_df.columns:
        raise _older_tiles(definition, days)
    if all(tiling.kind == "sums" and resolved_value(spark, tiling).is_whole for tiling in tilings):
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


def _feature(wanted: Wanted, history: History, aggregate: Aggregate, window: int) -> Column:
    """Return a feature of a row, of what was found for each of its asks; null where it has none."""
    index = history.windows.index(window)

    def found(kind: TileKind, value: Column) -> Column:
        """A row asks once of each, so there is one value, or none."""
        return F.max(F.when(F.col("_history") == wanted.place(history, kind), value))

    count, total = F.col(f"_n_{index}").cast("double"), F.col(f"_total_{index}")
    match aggregate:
        case "days_since_last":
            days = F.datediff(DS, "_last")
            return found("sums", F.when(days <= window, days.cast("double")))
        case "count":
            return found("sums", count)
        case "sum":
            # What was counted may have been taken off again.
            return found("sums", F.when(count != 0, total))
        case "mean":
            return found("sums", F.when(count != 0, total / count))
        case "stddev":
            squares, n = found("squares", total), found("squares", count)
            # Of a value whose square is infinite there is no spread.
            is_whole = (found("sums", count) == n) & (n > 1)
            spread = squares - found("sums", total) * found("sums", total) / n
            return F.when(is_whole, F.sqrt(F.greatest(spread, F.lit(0.0)) / (n - 1)))
        case "min" | "max":
            return found("extremes", F.col(f"_{aggregate}_{index}"))
        case "first" | "last":
            return found("moments", F.col(f"_{aggregate}_{index}"))
        case "distinct":
            return found("items", F.col(f"_distinct_{index}").cast("double"))
