"""Will a planned impression be clicked? Generated, with a known best-possible AUC.

`NIGHTSCORE_CLICKS_ROWS` sets the rows per day (20,000; up to 10^8). It is part of the source, so
another value is another data set: every day of it is stale.
"""

from __future__ import annotations

import os

from feature_store.definition import (
    Categorical,
    Check,
    Column,
    Definition,
    Gate,
    History,
    Known,
    Label,
    Numeric,
    Training,
)
from feature_store.errors import DefinitionError
from feature_store.sources.clicks import FIRST_DAY, MAX_ROWS_PER_DAY, Clicks
from feature_store.sources.clicks_rows import CATEGORICAL, DEVICES, NUMERIC

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


_ROWS = rows_per_day(os.environ.get(ROWS_VARIABLE))
_INTEGERS = ("hour", "weekday", "user_age")

DEFINITION = Definition(
    name="clicks",
    description="Generated impressions: will the user click? The best possible AUC is known.",
    source=Clicks(rows_per_day=_ROWS),
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
    label=Label(name="clicked", expression="clicked", known="click"),
    features=(
        *(Categorical(name=name, column=name) for name in CATEGORICAL),
        Numeric(name="user_age", column="user_age"),
        Numeric(name="user_visits", column="user_visits", transform="log1p"),
        Numeric(name="user_days_away", column="user_days_away", transform="log1p"),
        Numeric(name="item_price", column="item_price", transform="log1p"),
        Numeric(name="item_age_days", column="item_age_days"),
        Numeric(name="item_quality", column="item_quality"),
        Numeric(name="page_depth", column="page_depth", transform="log1p"),
        Numeric(name="bid", column="bid"),
        Numeric(name="viewability", column="viewability"),
    ),
    histories=(
        History(
            name="taste_ctr",
            keys=("user_segment", "item_category"),
            value="clicked",
            known="click",
            windows=(7, 28),
            aggregates=("mean",),
        ),
        History(
            name="item_ctr",
            keys=("item",),
            value="clicked",
            known="click",
            windows=(7, 28),
            aggregates=("mean",),
        ),
    ),
    checks=(
        Check(
            stage="features",
            kind="row_count",
            minimum=max(1, int(_ROWS * 0.95)),
            maximum=_ROWS,
        ),
        Check(stage="features", kind="unique", columns=("impression",)),
        Check(stage="features", kind="not_null", columns=("user",)),
        Check(stage="features", kind="not_null", columns=("item",)),
        Check(stage="features", kind="not_null", columns=("user_age",), mostly=0.5),
        Check(stage="features", kind="in_set", columns=("device",), values=DEVICES),
        Check(stage="features", kind="between", columns=("viewability",), minimum=0, maximum=1),
        Check(stage="features", kind="between", columns=("item_price",), minimum=0, maximum=200),
        Check(
            stage="features", kind="between", columns=("taste_ctr_mean_7d",), minimum=0, maximum=1
        ),
        Check(stage="scores", kind="row_count", minimum=max(1, int(_ROWS * 0.95)), maximum=_ROWS),
        Check(stage="scores", kind="not_null", columns=("score",)),
        Check(stage="scores", kind="between", columns=("score",), minimum=0, maximum=1),
        Check(stage="scores", kind="unique", columns=("impression",)),
        Check(stage="scores", kind="mean_between", columns=("score",), minimum=0.02, maximum=0.6),
    ),
    training=Training(model="dcnv2"),
    gate=Gate(min_auc=0.6, segments=("device", "item_category")),
    first_day=FIRST_DAY,
)
