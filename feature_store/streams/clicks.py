"""Impressions that are planned the evening before, and their clicks; generated.

`NIGHTSCORE_CLICKS_ROWS` sets the rows per day (20,000; up to 10^8). It is part of the source, so
another value is another data set: every day of it is stale.
"""

from __future__ import annotations

import os

from feature_store.definition import Column, Known, Stream
from feature_store.errors import DefinitionError
from feature_store.sources.clicks import FIRST_DAY, MAX_ROWS_PER_DAY, Clicks
from feature_store.sources.clicks_rows import CATEGORICAL, NUMERIC

ROWS_VARIABLE = "NIGHTSCORE_CLICKS_ROWS"


def rows_per_day(text: str | None) -> int:
    """Return the rows per day that the environment asks for, 20,000 by default.

    Raises:
        DefinitionError: the text is not a whole number in 1..10^8.
    """
    if text is None:
        return 20_000
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_ROWS_PER_DAY):
        rule = f"must be a whole number in 1..{MAX_ROWS_PER_DAY}, digits alone"
        raise DefinitionError("clicks", ROWS_VARIABLE, text, rule)
    return int(text)


ROWS_PER_DAY = rows_per_day(os.environ.get(ROWS_VARIABLE))
_INTEGERS = ("hour", "weekday", "user_age")

CLICKS = Stream(
    name="clicks",
    source=Clicks(rows_per_day=ROWS_PER_DAY),
    keys=("impression",),
    event_time="shown_at",
    knowns=(
        Known(name="plan", at="planned_at"),
        Known(name="click", at="click_known_at", after_event=True),
    ),
    columns=(
        Column(name="impression", dtype="bigint", known="plan", nullable=False, minimum=0),
        *(
            Column(
                name=name,
                dtype="int" if name in _INTEGERS else "string",
                known="plan",
                nullable=name not in ("user", "item", "slot"),
            )
            for name in CATEGORICAL
        ),
        *(
            Column(name=name, dtype="int" if name in _INTEGERS else "double", known="plan")
            for name in NUMERIC
        ),
        Column(name="planned_at", dtype="timestamp", known="plan", nullable=False),
        Column(name="shown_at", dtype="timestamp", known="plan", nullable=False),
        Column(name="clicked", dtype="boolean", known="click"),
        Column(name="click_known_at", dtype="timestamp", known="click", nullable=False),
    ),
    first_day=FIRST_DAY,
)
