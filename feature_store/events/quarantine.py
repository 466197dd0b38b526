"""Split raw rows into typed good rows and rejected rows with the reason; nothing is lost silently.

The rules of a column, in this order: `precision(col)` (the raw type may hold this number for
several others), `type(col)` (the value cannot become one of the declared type, or is a time or day
outside the years 1 to 9999), `null(col)`, `not_finite(col)`, `range(col)`. Before them `unreadable`
(the rest of a file) and `malformed` (a row that could not be read); after them `event_day(col)`
(the event lies on a day that is none of its `ds`), `known_at(col)` (a known-at time before 1971 or
far ahead) and `duplicate_key`. The first broken rule is the reason.

`superseded` is the reason of a row that breaks no rule: another version of it, known at another
time, holds now. A source that corrects itself is not a bad one, so such rows do not count as bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import MAXYEAR, MINYEAR, date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt, TooManyBadRows
from feature_store.events.casts import cast
from feature_store.events.content import content_hash
from feature_store.events.release import can_be_released, let_in
from feature_store.events.text import normalized
from feature_store.events.versions import EARLIER, merged, never_corrected, standing
from feature_store.raw import CORRUPT_RECORD, UNREADABLE, refusal
from feature_store.schema import DS, SOURCE_FILE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Stream

REASON = "reason"
ROW = "row"
SUPERSEDED = "superseded"
UNREADABLE_FILE = "unreadable"

FIRST_KNOWN = date(1971, 1, 1)
"""Known-at times before it are no times but numbers that were taken for one: seconds as
milliseconds, or 0."""

_FEW = 1_000_000
"""Rows told again whose keys are sent to every task; of more, all rows are put in order."""

RawRows = DataFrame | Sequence[DataFrame]
"""The raw rows of some days: one frame, or one for each shape that the files have."""

_Values = Mapping[str, SparkColumn]
_Rule = tuple[str, SparkColumn]
"""The reason of a row that breaks it, and whether a row does."""


def judge_rows(raw: RawRows, stream: Stream, released_df: DataFrame | None = None) -> DataFrame:
    """Return the typed rows with what decides whether they are good, in one plan.

    Raises:
        SourceCorrupt: a declared column is missing, or of a type that cannot be cast.
    """
    return typed_rows(raw, stream, released_df).transform(_ranked, stream)


def typed_rows(raw: RawRows, stream: Stream, released_df: DataFrame | None = None) -> DataFrame:
    """Return the rows as declared, with what is wrong with each by itself: the costly part.

    Each frame is typed by its own types, so that no file decides how another is read.

    Args:
        raw: the rows of a source.
        stream: what they should be.
        released_df: raw rows that were let in: see `feature_store.events.release`.

    Raises:
        SourceCorrupt: a declared column is missing, or of a type that cannot be cast.
    """
    frames = [raw] if isinstance(raw, DataFrame) else raw
    has_strict = released_df is not None
    each = [_typed_rows(frame, stream, has_strict=has_strict) for frame in frames]
    typed = reduce(DataFrame.unionByName, each)
    if released_df is not None:
        typed = let_in(typed, released_df)
    return normalized(typed, stream.columns)


def judge_typed(typed_df: DataFrame, stream: Stream) -> DataFrame:
    """Return what `judge_rows` does, of typed rows that are kept: it reads them more than once.

    Most deliveries tell of each row once, or of few rows twice. Only those are put in order, so
    that the others, as wide as they are, are neither sorted nor sent around.
    """
    of_row = [DS, *stream.keys]
    good = typed_df.where("_reason IS NULL")
    again = good.groupBy(*of_row).agg(F.count(F.lit(1)).alias("_told")).where("_told > 1")
    again = again.drop("_told").localCheckpoint(eager=False)
    told_again = again.count()
    alone = {"_rank": F.lit(1), "_repeats": F.lit(False), "_versions": F.lit(1).cast("bigint")}
    if not told_again:
        return typed_df.withColumns(alone)
    if told_again > _FEW:
        return typed_df.transform(_ranked, stream)
    few = F.broadcast(again)
    # A null key is equal to none: such a row is a bad one, and stays with those told of once.
    once = typed_df.join(few, of_row, "left_anti").withColumns(alone)
    return once.unionByName(typed_df.join(few, of_row, "left_semi").transform(_ranked, stream))


def good_rows(
    judged_df: DataFrame, stream: Stream, carried_df: DataFrame | None = None
) -> DataFrame:
    """Return the good rows of `judge_rows`: ds, the declared columns and `_earlier`.

    Rows of the same content become one, and so do rows that share (ds, keys): one that holds, for
    each group of values, the version known latest, and in `_earlier` what was known before it (see
    `feature_store.events.versions`).

    Args:
        judged_df: the rows of a delivery.
        stream: the stream.
        carried_df: versions that an earlier delivery told of the same rows, to be kept.
    """
    names = [column.name for column in stream.columns]
    good = judged_df.where("_reason IS NULL AND NOT _repeats")
    single, several = good.where("_versions = 1"), good.where("_versions > 1").select(DS, *names)
    if carried_df is not None:
        again = carried_df.select(DS, *stream.keys).distinct()
        touched = single.join(again, [DS, *stream.keys], "left_semi").select(DS, *names)
        single = single.join(again, [DS, *stream.keys], "left_anti")
        several = several.unionByName(touched).unionByName(carried_df)
    plain = single.select(DS, *names, never_corrected(stream).alias(EARLIER))
    return plain.unionByName(merged(several, stream))


def single_rows(judged_df: DataFrame, stream: Stream) -> DataFrame:
    """Return the good rows of `judge_rows` where it is known that no row is told of twice."""
    names = [column.name for column in stream.columns]
    rows = judged_df.where("_reason IS NULL AND _rank = 1")
    return rows.select(DS, *names, never_corrected(stream).alias(EARLIER))


def bad_rows(judged_df: DataFrame, stream: Stream) -> DataFrame:
    """Return the bad rows of `judge_rows`: ds, reason, row, source_file.

    A version that tells something else than what holds now is `duplicate_key` if that was known at
    the very same time, else `superseded`. `row` is JSON of the raw row, or of the typed row for
    these.
    """
    names = [column.name for column in stream.columns]
    broken = judged_df.where(F.col("_reason").isNotNull()).select(
        DS, F.col("_reason").alias(REASON), F.col("_raw").alias(ROW), SOURCE_FILE
    )
    versions = judged_df.where("_reason IS NULL AND _versions > 1")
    holds, contradicts = standing(Window.partitionBy(DS, *stream.keys), stream)
    outdated = (
        versions.withColumns({"_holds": holds, "_contradicts": contradicts})
        .where("NOT _holds AND NOT _repeats")
        .select(
            DS,
            F.when(F.col("_contradicts"), "duplicate_key").otherwise(SUPERSEDED).alias(REASON),
            F.to_json(F.struct(DS, *names), {"ignoreNullFields": "false"}).alias(ROW),
            SOURCE_FILE,
        )
    )
    return broken.unionByName(outdated)


def check_ceiling(
    pipeline: str,
    day: date,
    bad: int,
    total: int,
    max_share: float,
    reasons: Mapping[str, int] | None = None,
) -> None:
    """Return if the bad share of a day is within the ceiling.

    Raises:
        TooManyBadRows: it is above; the message lists the most frequent reasons.
    """
    if not total or bad / total <= max_share:
        return
    worst = sorted((reasons or {}).items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{reason} {count}" for reason, count in worst[:5]) or "unknown"
    is_of_another_day = any(reason.startswith("event_day(") for reason, _ in worst)
    hint = " Where the pipeline's day is a local one, event_days says so." * is_of_another_day
    raise TooManyBadRows(
        f"{pipeline}: ds={day} has {bad} bad of {total} rows ({bad / total:.2%}, ceiling "
        f"{max_share:.2%}): {listed}. Nothing was written to events. Look at the quarantine rows "
        "of the day, mend the source, and run the day again; or raise max_bad_share."
        f"{hint}",
        day,
    )


def event_columns(stream: Stream) -> list[Column]:
    """Return the columns of a stream's events; keys and event time may not be null."""
    required = {*stream.keys, stream.event_time}
    return [replace(c, nullable=c.nullable and c.name not in required) for c in stream.columns]


def no_rows(spark: SparkSession, stream: Stream) -> DataFrame:
    """Return a frame of no row, with `ds` and the columns of a stream."""
    fields = (f"`{column.name}` {column.dtype}" for column in stream.columns)
    return spark.createDataFrame([], f"{DS} date, {', '.join(fields)}")


def _require_all(raw_df: DataFrame, stream: Stream) -> None:
    needed = [DS, *(column.name for column in stream.columns)]
    missing = [name for name in needed if name not in raw_df.columns]
    if missing:
        raise SourceCorrupt(
            f"{stream.name}: the source has no column {', '.join(missing)}; it has "
            f"{', '.join(raw_df.columns)}. Mend the source, or the stream's columns."
        )


def _broken_times(values: _Values, stream: Stream) -> list[_Rule]:
    """Return the rules of a row's times; what a snapshot tells may have begun at any time."""
    first, last = stream.event_days
    event = values[stream.event_time].try_cast("date")
    is_of_day = F.date_diff(event, F.col(DS).cast("date")).between(first, last)
    of_day = [(f"event_day({stream.event_time})", ~is_of_day)]
    known = (group.at for group in stream.knowns)
    return [
        *(of_day if stream.kind != "snapshots" else ()),
        *(_unlikely(values[name], name, stream) for name in known),
    ]


def _unlikely(known_at: SparkColumn, name: str, stream: Stream) -> _Rule:
    """Return the rule that a known-at time is not before 1971, nor too far after the row's day."""
    end = F.date_add(F.col(DS).cast("date"), stream.max_known_days + 1).cast("timestamp")
    too_early = known_at < F.lit(FIRST_KNOWN).cast("timestamp")
    return f"known_at({name})", too_early | (known_at >= end)


def _typed_rows(raw_df: DataFrame, stream: Stream, *, has_strict: bool) -> DataFrame:
    """Return ds and the columns, typed, with what is wrong with a row and where it comes from.

    That is the first rule that it breaks and, for a bad row only, its raw JSON; where it is asked
    for also the first rule that nobody can put aside (`_strict`).
    """
    _require_all(raw_df, stream)
    types, columns = dict(raw_df.dtypes), event_columns(stream)
    marks = [name for name in (UNREADABLE, CORRUPT_RECORD) if name in types]
    rules = [(_MARKS[mark], F.col(mark).isNotNull()) for mark in marks]
    values, made = {}, {}
    for column in columns:
        raw_type = types[column.name]
        why = refusal(raw_type, column.dtype)
        if why:
            raise SourceCorrupt(
                f"{stream.name}: column {column.name} of the source {why}. Mend the source, or the "
                "stream's columns."
            )
        values[column.name] = F.col(column.name)
        if raw_type != column.dtype:
            # Named, so that the value is made once and not anew in every rule.
            typed = f"_typed_{column.name}"
            made[typed] = cast(column, raw_type).value
            values[column.name] = F.col(typed)
        rules += _broken_rules(column, raw_type, values[column.name])
    rules += _broken_times(values, stream)
    reason, more = _first_broken(rules), []
    if has_strict:
        strict = [rule for rule in rules if not can_be_released(rule[0], stream)]
        more.append(_first_broken(strict).alias("_strict"))
    file = F.col(SOURCE_FILE) if SOURCE_FILE in types else F.lit(None).cast("string")
    return raw_df.withColumns(made).select(
        F.col(DS).cast("date").alias(DS),
        *(values[column.name].alias(column.name) for column in columns),
        reason.alias("_reason"),
        F.when(reason.isNotNull(), _raw_json(raw_df)).alias("_raw"),
        file.alias(SOURCE_FILE),
        *more,
    )


def _first_broken(rules: Sequence[_Rule]) -> SparkColumn:
    """Return the reason of the first rule that a row breaks; null if it keeps them all."""
    return F.coalesce(*(F.when(is_broken, reason) for reason, is_broken in rules))


_MARKS = {UNREADABLE: UNREADABLE_FILE, CORRUPT_RECORD: "malformed"}


def _raw_json(raw_df: DataFrame) -> SparkColumn:
    """Return the raw row as JSON; of the rest of a file that cannot be read, why."""
    columns = [name for name in raw_df.columns if name != UNREADABLE]
    row = F.to_json(F.struct(*columns), {"ignoreNullFields": "false"})
    if UNREADABLE not in raw_df.columns:
        return row
    return F.when(F.col(UNREADABLE).isNotNull(), F.to_json(F.struct(UNREADABLE))).otherwise(row)


def _broken_rules(column: Column, raw_type: str, value: SparkColumn) -> list[_Rule]:
    """Return the rules of a column, in their order."""
    raw, name = F.col(column.name), column.name
    rules: list[_Rule] = []
    if raw_type != column.dtype:
        imprecise = cast(column, raw_type).imprecise
        if imprecise is not None:
            rules.append((f"precision({name})", imprecise))
        rules.append((f"type({name})", raw.isNotNull() & value.isNull()))
    if column.dtype in ("timestamp", "date"):
        # Spark counts on where Python, pandas and NumPy have no year any more.
        rules.append((f"type({name})", ~F.year(value).between(MINYEAR, MAXYEAR)))
    if not column.nullable:
        rules.append((f"null({name})", value.isNull()))
    if column.dtype == "double":
        is_infinite = F.abs(value) == F.lit(float("inf"))
        rules.append((f"not_finite({name})", F.isnan(value) | is_infinite))
    out_of_range = [value < F.lit(column.minimum)] if column.minimum is not None else []
    out_of_range += [value > F.lit(column.maximum)] if column.maximum is not None else []
    rules += [(f"range({name})", broken) for broken in out_of_range]
    return rules


def _ranked(typed_df: DataFrame, stream: Stream) -> DataFrame:
    """Rank rows of the same (ds, keys), the one known latest first; equal rows side by side."""
    names = [column.name for column in stream.columns]
    # Two hashes with different salts: 128 bits tell contents apart.
    content = [content_hash(names, salt) for salt in (1, 2)]
    times = [F.col(group.at) for group in stream.knowns]
    known = F.greatest(*times) if len(times) > 1 else times[0]
    together = Window.partitionBy(DS, *stream.keys, F.col("_reason").isNull())
    group = together.orderBy(known.desc_nulls_last(), *[part.desc() for part in content])
    identity = F.struct(*content)
    ranked = typed_df.withColumns(
        {
            "_rank": F.row_number().over(group),
            "_repeats": F.coalesce(F.lag(identity).over(group) == identity, F.lit(False)),
        }
    )
    return ranked.withColumn("_versions", F.count_if(~F.col("_repeats")).over(together))
