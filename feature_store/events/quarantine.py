"""Split raw rows into typed good rows and rejected rows with the reason; nothing is lost silently.

The rules of a column, in this order: `type(col)` (the value is not of the declared type),
`null(col)`, `not_finite(col)`, `range(col)`; before them `malformed` (a line the reader could not
split), after them `duplicate_key`. The first broken rule is the reason.

`superseded` is the reason of a row that breaks no rule: another version of it was kept, known at
another time. A source that corrects itself is not a bad one, so such rows do not count as bad.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.errors import AnalysisException
from pyspark.sql import Window
from pyspark.sql import functions as F

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt, TooManyBadRows
from feature_store.events.content import content_hash
from feature_store.events.cutoff import cutoff_column
from feature_store.events.text import normalized
from feature_store.schema import DS, EVENT_TIME, KNOWN_AT, SOURCE_FILE

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition, Lookup

REASON = "reason"
ROW = "row"
CORRUPT_RECORD = "_corrupt_record"
SUPERSEDED = "superseded"

_FRACTIONAL = ("float", "double", "decimal")
_WHOLE = ("int", "bigint")


def split_bad_rows(raw_df: DataFrame, definition: Definition) -> tuple[DataFrame, DataFrame]:
    """Return (good rows: ds and the declared columns; bad rows: ds, reason, row, source_file).

    Rows of the same content become one. Of rows that share (ds, keys) and differ, one is kept: the
    one known latest (the greater content hash on a tie) among those whose keys were known before
    the day's cut-off, or among all where there is none. So a correction that comes too late for the
    day takes nothing from it. The others are `duplicate_key` if they were known at the same time as
    the one kept, else `superseded`. `row` is JSON of the raw row, or of the typed row for these.

    Raises:
        SourceCorrupt: a declared column is missing, or of a type that cannot be cast.
    """
    judged = judge_rows(raw_df, definition)
    return good_rows(judged, definition), bad_rows(judged, definition)


def judge_rows(raw_df: DataFrame, definition: Definition) -> DataFrame:
    """Return the typed rows with what decides whether they are good: the costly part, done once.

    Raises:
        SourceCorrupt: a declared column is missing, or of a type that cannot be cast.
    """
    _require_columns(raw_df, definition)
    return raw_df.transform(_typed_rows, definition).transform(_ranked, definition)


def good_rows(judged_df: DataFrame, definition: Definition) -> DataFrame:
    """Return the good rows of `judge_rows`: ds and the declared columns."""
    names = [column.name for column in definition.columns]
    return judged_df.where("_rank = 1 AND _reason IS NULL").select(DS, *names)


def bad_rows(judged_df: DataFrame, definition: Definition) -> DataFrame:
    """Return the bad rows of `judge_rows`: ds, reason, row, source_file."""
    names = [column.name for column in definition.columns]
    typed_row = F.to_json(F.struct(DS, *names), {"ignoreNullFields": "false"})
    is_conflict = F.col("_reason").isNull() & (F.col("_rank") > 1) & ~F.col("_repeats")
    return judged_df.where(F.col("_reason").isNotNull() | is_conflict).select(
        DS,
        F.coalesce(
            "_reason", F.when(F.col("_is_superseded"), SUPERSEDED).otherwise("duplicate_key")
        ).alias(REASON),
        F.coalesce("_raw", typed_row).alias(ROW),
        SOURCE_FILE,
    )


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
    raise TooManyBadRows(
        f"{pipeline}: ds={day} has {bad} bad of {total} rows ({bad / total:.2%}, ceiling "
        f"{max_share:.2%}): {listed}. Nothing was written to events. Look at the quarantine rows "
        "of the day, mend the source, and run the day again; or raise max_bad_share.",
        day,
    )


def _require_columns(raw_df: DataFrame, definition: Definition) -> None:
    _require_all(raw_df, [DS, *(c.name for c in definition.columns)], definition.name)


def _require_all(raw_df: DataFrame, needed: Sequence[str], what: str) -> None:
    missing = [name for name in needed if name not in raw_df.columns]
    if missing:
        raise SourceCorrupt(
            f"{what}: the source has no column {', '.join(missing)}; it has "
            f"{', '.join(raw_df.columns)}. Mend the source, or the definition's columns."
        )


def _typed_rows(raw_df: DataFrame, definition: Definition) -> DataFrame:
    """Return ds and the columns, typed, with what is wrong with a row and where it comes from."""
    required = {*definition.keys, definition.event_time}
    typed = _typed(raw_df, definition.columns, required, definition.name)
    return normalized(typed, definition.columns)


def _typed(
    raw_df: DataFrame, columns: Sequence[Column], required: Collection[str], what: str
) -> DataFrame:
    """Add typed columns, the first broken rule and, for a bad row only, its raw JSON."""
    types = dict(raw_df.dtypes)
    rules = (
        [F.when(F.col(CORRUPT_RECORD).isNotNull(), "malformed")]
        if (CORRUPT_RECORD in types)
        else []
    )
    for column in columns:
        rules += _broken_rules(column, types[column.name], column.name in required)
    raw_row = F.to_json(F.struct(*raw_df.columns), {"ignoreNullFields": "false"})
    reason = F.coalesce(*rules)
    typed = [_cast(c).alias(c.name) for c in columns]
    file = F.col(SOURCE_FILE) if SOURCE_FILE in types else F.lit(None).cast("string")
    try:
        return raw_df.select(
            F.col(DS).cast("date").alias(DS),
            *typed,
            reason.alias("_reason"),
            F.when(reason.isNotNull(), raw_row).alias("_raw"),
            file.alias(SOURCE_FILE),
        )
    except AnalysisException as error:
        raise SourceCorrupt(
            f"{what}: a source column cannot become its declared type: "
            f"{str(error).splitlines()[0]} Types in the source: {types}. "
            "Mend the source, or the definition's columns."
        ) from error


def _cast(column: Column) -> SparkColumn:
    return F.col(column.name).try_cast(column.dtype)


def _broken_rules(column: Column, raw_type: str, required: bool) -> list[SparkColumn]:
    """Return one expression per rule: the reason where the rule is broken, else null."""
    raw, value, name = F.col(column.name), _cast(column), column.name
    wrong_type = raw.isNotNull() & value.isNull()
    if column.dtype in _WHOLE and raw_type.startswith(_FRACTIONAL):
        wrong_type = raw.isNotNull() & ~F.coalesce(value == raw, F.lit(False))
    rules = [F.when(wrong_type, f"type({name})")] if raw_type != column.dtype else []
    if required or not column.nullable:
        rules.append(F.when(value.isNull(), f"null({name})"))
    if column.dtype == "double":
        is_infinite = F.abs(value) == F.lit(float("inf"))
        rules.append(F.when(F.isnan(value) | is_infinite, f"not_finite({name})"))
    out_of_range = [value < F.lit(column.minimum)] if column.minimum is not None else []
    out_of_range += [value > F.lit(column.maximum)] if column.maximum is not None else []
    rules += [F.when(broken, f"range({name})") for broken in out_of_range]
    return rules


def _ranked(typed_df: DataFrame, definition: Definition) -> DataFrame:
    """Rank rows of the same (ds, keys), the one to keep first; equal rows come side by side."""
    names = [column.name for column in definition.columns]
    # Two hashes with different salts: 128 bits tell contents apart.
    content = [content_hash(names, salt) for salt in (1, 2)]
    times = [F.col(group.at) for group in definition.knowns]
    known = F.greatest(*times) if len(times) > 1 else times[0]
    group = Window.partitionBy(DS, *definition.keys, F.col("_reason").isNull()).orderBy(
        _is_in_time(definition).desc(),
        known.desc_nulls_last(),
        *[part.desc() for part in content],
    )
    identity = F.struct(*content)
    return typed_df.withColumns(
        {
            "_rank": F.row_number().over(group),
            "_repeats": F.coalesce(F.lag(identity).over(group) == identity, F.lit(False)),
            "_is_superseded": ~known.eqNullSafe(F.first(known).over(group)),
        }
    )


def _is_in_time(definition: Definition) -> SparkColumn:
    """Whether a row is one to score on its day: its keys were known before the cut-off."""
    groups = sorted({definition.column(key).known for key in definition.keys})
    cutoff = cutoff_column(definition)
    known = [F.col(definition.known(group).at) < cutoff for group in groups]
    return F.coalesce(reduce(lambda left, right: left & right, known), F.lit(False))


def typed_lookup(raw_df: DataFrame, lookup: Lookup, definition: Definition) -> DataFrame:
    """Return the rows of a lookup: ds, keys, event_time, known_at and columns, as declared.

    Raises:
        SourceCorrupt: a column is missing or can never be cast; or, counted now, rows whose key or
            time is null, or that break a rule of a column. None of the rows is to be used then.
    """
    what = f"{definition.name}, lookup {lookup.name}"
    times = [Column(name=name, dtype="timestamp", known="") for name in (EVENT_TIME, KNOWN_AT)]
    # A key is found by the form that the pipeline's own column has.
    own = [definition.column(key) for key in lookup.keys]
    keys = [Column(name=c.name, dtype=c.dtype, known="", normalize=c.normalize) for c in own]
    columns = [*keys, *times, *lookup.columns]
    _require_all(raw_df, [DS, *(c.name for c in columns)], what)
    rows = _typed(raw_df, columns, {c.name for c in (*keys, *times)}, what)
    _refuse_broken(rows, what)
    return normalized(rows, columns).select(DS, *(c.name for c in columns))


def _refuse_broken(typed_df: DataFrame, what: str) -> None:
    """Raise SourceCorrupt if a row breaks a rule, naming the rule broken most often."""
    broken = (
        typed_df.where("_reason IS NOT NULL")
        .groupBy("_reason")
        .agg(F.count(F.lit(1)).alias("rows"), F.min("_raw").alias("example"))
    )
    worst = min(broken.collect(), key=lambda row: (-row["rows"], row["_reason"]), default=None)
    if worst is not None:
        example = worst["example"][:300]
        raise SourceCorrupt(
            f"{what}: {worst['rows']} rows break {worst['_reason']}, such as {example}. None of "
            "its rows were written. Mend the source and run again, or correct the lookup's columns."
        )
