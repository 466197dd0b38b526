"""Which instant a raw value says, and so which day of UTC: as strictly as a column is judged."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

Unit = Literal["seconds", "milliseconds"]
"""What a number counts since 1970. Nobody can tell it from the number, so somebody says it."""

_MICROS = 10**6
MICROS_OF: dict[Unit, int] = {"seconds": _MICROS, "milliseconds": _MICROS // 1000}
"""Microseconds in one of a unit."""
_DAY = 86_400 * _MICROS
_EPOCH = date(1970, 1, 1)
_FIRST = (date.min - _EPOCH).days * _DAY
_END = ((date.max - _EPOCH).days + 1) * _DAY
_MOST_OFFSET = 18 * 60
"""Minutes that a zone may be away from UTC, to Spark as to ISO 8601's readers."""

_TIME = re.compile(
    r"\s*(\d{4}-\d\d-\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)? ?(?:Z|UTC|([+-])(\d\d):?(\d\d))?)?\s*",
    re.ASCII,
)
_NUMBER = re.compile(r"\s*[+-]?\d+(?:\.\d*)?\s*", re.ASCII)


def days_of(values: pa.Array, unit: Unit | None) -> pa.Array:
    """Return the day of each value as date32; null where there is none, or none can be told.

    Args:
        values: text, dates or timestamps; with a `unit`, numbers or text of them.
        unit: what a number counts since 1970.
    """
    import numpy as np
    import pyarrow as pa

    micros = instants_of(values, unit)
    days = np.asarray(micros.cast(pa.int64()).fill_null(0)) // _DAY
    return pa.array(days.astype(np.int32), mask=_is_null(micros)).cast(pa.date32())


def instants_of(values: pa.Array, unit: Unit | None) -> pa.Array:
    """Return the instant of each value, in microseconds of UTC, as `days_of` returns the day.

    A time without a zone is one of UTC.
    """
    import pyarrow as pa

    is_a, kind = pa.types, pa.timestamp("us", "UTC")
    if is_a.is_decimal(values.type):
        values = values.cast(pa.string())
    if is_a.is_string(values.type):
        # A text is told once, however often it is there.
        encoded = values.dictionary_encode()
        micros = [micros_of_text(text, unit) for text in encoded.dictionary.to_pylist()]
        return pa.array(micros, pa.int64()).cast(kind).take(encoded.indices)
    if is_a.is_null(values.type) or is_a.is_date(values.type):
        return values.cast(pa.timestamp("us")).cast(kind)
    if is_a.is_timestamp(values.type):
        return values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(kind)
    return _counted(values, unit) if unit else pa.nulls(len(values), kind)


def micros_of_text(text: str, unit: Unit | None) -> int | None:
    """Return the instant that a text says, in microseconds since 1970; None if it says none.

    Without a unit that is `2026-01-02`, alone or before an hour with or without a zone.
    """
    if unit is not None:
        if not _NUMBER.fullmatch(text):
            return None
        return _within(math.floor(Decimal(text) * MICROS_OF[unit]))
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    day, hour, minute, second, fraction, sign, *offset = found.groups(default="0")
    away = int(offset[0]) * 60 + int(offset[1])
    if int(hour) > 23 or max(int(minute), int(second), int(offset[1])) > 59 or away > _MOST_OFFSET:
        return None
    try:
        local = date.fromisoformat(day)
    except ValueError:
        return None
    minutes = int(hour) * 60 + int(minute) - (-away if sign == "-" else away)
    seconds = minutes * 60 + int(second)
    return _within(
        (local - _EPOCH).days * _DAY + seconds * _MICROS + int(fraction[:6].ljust(6, "0"))
    )


def _within(micros: int) -> int | None:
    """Return an instant, None outside the years 1 to 9999."""
    return micros if _FIRST <= micros < _END else None


def _counted(values: pa.Array, unit: Unit) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    factor, is_null = MICROS_OF[unit], _is_null(values)
    numbers: NDArray[Any] = np.asarray(values.fill_null(0))
    with np.errstate(invalid="ignore"):
        beyond = ~((numbers >= _FIRST // factor) & (numbers < _END // factor))
    micros = np.floor(np.where(beyond, 0, numbers) * factor).astype(np.int64)
    return pa.array(micros, mask=is_null | beyond).cast(pa.timestamp("us", "UTC"))


def _is_null(values: pa.Array) -> NDArray[np.bool_]:
    is_null: NDArray[np.bool_] = values.is_null().to_numpy(zero_copy_only=False)
    return is_null
