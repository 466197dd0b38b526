"""How a raw value becomes one of the declared type, or is told to be none.

A value is taken only if nothing of it is lost and nobody has to guess: 12.0 is the whole number 12,
12.5 is none; 100.0 is the text 100; a time needs its day and its hour; true, false, t, f, 1 and 0
are truth values and no other is. What cannot be is `type(col)`; a number that its raw type cannot
hold exactly, and so may be another's, is `precision(col)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.raw import family, is_fractional, is_whole

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn

    from feature_store.definition import Column

_EXACT = {"float": float(1 << 24), "double": float(1 << 53)}
"""From here on a binary fraction holds the same number for several whole ones."""

_TRUE, _FALSE = ("true", "t", "1", "1.0"), ("false", "f", "0", "0.0")

_WHOLE = r"^\s*([+-]?[0-9]+)(\.0+)?\s*$"
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
_NOT_FINITE = r"^\s*[+-]?(?i:nan|inf|infinity)\s*$"
_LONG_WHOLE = r"^\s*[+-]?[0-9]{16,}(\.0*)?\s*$"
_BLANKS = " \t\n\x0b\f\r"
"""What `\\s` stands for. Spark's own casts pass over all control characters."""
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_TIME = rf"^\s*{_DAY}([T ]{_CLOCK} ?(Z|UTC|[+-][0-9]{{2}}:?[0-9]{{2}})?)?\s*$"
_BARE_OFFSET = r"([+-][0-9]{2})([0-9]{2})\s*$"
_BARE_MINUTES = rf"^(\s*{_DAY}[T ][0-9]{{2}}:[0-9]{{2}})( ?[ZU+-])"
_HAS_BARE_OFFSET = r":[0-9.]+ ?[+-][0-9]{4}\s*$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """A raw column on its way to the declared type."""

    value: SparkColumn
    """The declared type; null where the raw value is null, or cannot become one."""
    imprecise: SparkColumn | None = None
    """Whether the raw type may hold this value for several others; null or absent if never."""


def cast(column: Column, raw_type: str) -> Cast:
    """Return how the values of a raw column become those declared.

    `feature_store.raw.refusal` says beforehand which types never can.
    """
    raw = F.col(column.name)
    if raw_type == column.dtype:
        return Cast(value=raw)
    if raw_type == "timestamp_ntz":
        raw, raw_type = raw.cast("timestamp"), "timestamp"
    if column.dtype == "string":
        return _text(raw, raw_type)
    if column.dtype in ("int", "bigint"):
        return _whole(raw, raw_type, column.dtype)
    if column.dtype == "double":
        return _double(raw, raw_type)
    if column.dtype == "boolean":
        return Cast(value=_truth(raw, raw_type))
    instant = _instant(raw, raw_type)
    return Cast(value=instant if column.dtype == "timestamp" else _midnight(instant))


def _text(raw: SparkColumn, raw_type: str) -> Cast:
    plain = raw.cast("string")
    if family(raw_type) == "decimal" and not raw_type.endswith(",0)"):
        # The same number has the same text, whatever scale the file was written with.
        return Cast(value=F.regexp_replace(F.regexp_replace(plain, "0+$", ""), r"\.$", ""))
    if is_fractional(raw_type):
        whole = raw.cast("double").try_cast("bigint")
        text = F.when(raw == whole, whole.cast("string")).otherwise(plain)
        return Cast(value=F.when(_is_finite(raw), text), imprecise=_is_beyond(raw, raw_type))
    return Cast(value=plain)


def _whole(raw: SparkColumn, raw_type: str, dtype: str) -> Cast:
    if raw_type == "string":
        digits = F.regexp_extract(raw, _WHOLE, 1)
        return Cast(value=F.when(digits != "", digits.try_cast(dtype)))
    value = raw.try_cast(dtype)
    if is_whole(raw_type):
        return Cast(value=value)
    same = F.when(value == raw, value)
    if is_fractional(raw_type):
        return Cast(value=same, imprecise=_is_beyond(raw, raw_type))
    return Cast(value=same)


def _double(raw: SparkColumn, raw_type: str) -> Cast:
    if raw_type == "string":
        number = F.when(raw.rlike(_NUMBER) | raw.rlike(_NOT_FINITE), raw.try_cast("double"))
        return Cast(value=number, imprecise=raw.rlike(_LONG_WHOLE) & _is_rounded(raw, number))
    value = raw.cast("double")
    if raw_type == "bigint":
        same = F.coalesce(value.try_cast("bigint") == raw, F.lit(False))
        return Cast(value=value, imprecise=~same)
    if family(raw_type) == "decimal" and raw_type.endswith(",0)"):
        return Cast(value=value, imprecise=_is_rounded(raw, value))
    return Cast(value=value)


def _truth(raw: SparkColumn, raw_type: str) -> SparkColumn:
    if raw_type == "string":
        word = F.lower(F.trim(raw, F.lit(_BLANKS)))
        is_true, is_false = word.isin(*_TRUE), word.isin(*_FALSE)
    else:
        is_true, is_false = raw == F.lit(1), raw == F.lit(0)
    return F.when(is_true, F.lit(True)).when(is_false, F.lit(False))


def _instant(raw: SparkColumn, raw_type: str) -> SparkColumn:
    if raw_type != "string":
        return raw.cast("timestamp")
    spelt = F.when(
        raw.rlike(_HAS_BARE_OFFSET), F.regexp_replace(raw, _BARE_OFFSET, "$1:$2")
    ).otherwise(raw)
    # Spark reads a zone only behind seconds.
    whole = F.regexp_replace(spelt, _BARE_MINUTES, "$1:00$2")
    return F.when(raw.rlike(_TIME), whole.try_cast("timestamp"))


def _midnight(instant: SparkColumn) -> SparkColumn:
    """Return the day of an instant that is a midnight, null for any other: its hour would go."""
    day = instant.cast("date")
    return F.when(day.cast("timestamp") == instant, day)


def _is_finite(raw: SparkColumn) -> SparkColumn:
    return ~F.isnan(raw) & (F.abs(raw) != F.lit(float("inf")))


def _is_beyond(raw: SparkColumn, raw_type: str) -> SparkColumn:
    return _is_finite(raw) & (F.abs(raw) >= F.lit(_EXACT[raw_type]))


def _is_rounded(raw: SparkColumn, value: SparkColumn) -> SparkColumn:
    wide = "decimal(38,0)"
    return ~F.coalesce(raw.try_cast(wide) == value.try_cast(wide), F.lit(False))
