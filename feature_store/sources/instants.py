"""Which day of UTC a raw value lies on, told as strictly as times are told from text."""

from __future__ import annotations

import math
import re
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Unit = Literal["seconds", "milliseconds"]
"""What a number counts since 1970. Nobody can tell it from the number, so somebody says it."""

PER_DAY: dict[Unit, int] = {"seconds": 86_400, "milliseconds": 86_400_000}
_EPOCH = date(1970, 1, 1)
_FIRST, _LAST = (date.min - _EPOCH).days, (date.max - _EPOCH).days
_MINUTES = 24 * 60
_MOST_OFFSET = 18 * 60
"""Minutes that a zone may be away from UTC, to Spark as to ISO 8601's readers."""

_TIME = re.compile(
    r"\s*(\d{4}-\d\d-\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)? ?(?:Z|UTC|([+-])(\d\d):?(\d\d))?)?\s*",
    re.ASCII,
)
_NUMBER = re.compile(r"\s*[+-]?\d+(?:\.\d*)?\s*", re.ASCII)


def days_of(values: pa.Array, unit: Unit | None) -> pa.Array:
    """Return the day of each value as date32; null where there is none, or none can be told.

    Args:
        values: text, dates or timestamps; with a `unit`, numbers or text of them.
        unit: what a number counts since 1970.
    """
    import pyarrow as pa

    is_a = pa.types
    if is_a.is_decimal(values.type):
        values = values.cast(pa.string())
    if is_a.is_string(values.type):
        # A text is told once, however often it is there.
        encoded = values.dictionary_encode()
        days = [day_of_text(text, unit) for text in encoded.dictionary.to_pylist()]
        return pa.array(days, pa.date32()).take(encoded.indices)
    if is_a.is_null(values.type) or is_a.is_date(values.type):
        return values.cast(pa.date32())
    if is_a.is_timestamp(values.type):
        micros = values.cast(pa.timestamp("us", values.type.tz), safe=False)
        return _days(micros.cast(pa.int64()), PER_DAY["seconds"] * 10**6)
    return _days(values, PER_DAY[unit]) if unit else pa.nulls(len(values), pa.date32())


def day_of_text(text: str, unit: Unit | None) -> date | None:
    """Return the UTC day that a text says; None if it says none.

    Without a unit that is `2026-01-02`, alone or before an hour with or without a zone.
    """
    if unit is not None:
        if not _NUMBER.fullmatch(text):
            return None
        return _day(math.floor(Decimal(text)) // PER_DAY[unit])
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, sign, *offset = found.groups(default="0")
    away = int(offset[0]) * 60 + int(offset[1])
    if int(hour) > 23 or max(int(minute), int(second), int(offset[1])) > 59 or away > _MOST_OFFSET:
        return None
    try:
        local = date.fromisoformat(day)
    except ValueError:
        return None
    minutes = int(hour) * 60 + int(minute) - (-away if sign == "-" else away)
    return _day((local - _EPOCH).days + minutes // _MINUTES)


def _day(number: int) -> date | None:
    """Return a day by its number since 1970; None outside the years 1 to 9999."""
    return _EPOCH + timedelta(days=number) if _FIRST <= number <= _LAST else None


def _days(values: pa.Array, per_day: int) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    is_null: NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    numbers: NDArray[Any] = np.asarray(values.fill_null(0))
    with np.errstate(invalid="ignore"):
        days = np.floor_divide(numbers, per_day)
        beyond = ~((days >= _FIRST) & (days <= _LAST))
    kept = np.where(beyond, 0, days).astype(np.int32)
    return pa.array(kept, mask=is_null | beyond).cast(pa.date32())
