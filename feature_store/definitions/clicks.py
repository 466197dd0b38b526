"""Will a planned impression be clicked? Generated, with a known best-possible AUC."""

from __future__ import annotations

from feature_store.definition import (
    Categorical,
    Check,
    Definition,
    Gate,
    History,
    Label,
    Numeric,
    Rows,
    Training,
)
from feature_store.sources.clicks_rows import CATEGORICAL, DEVICES
from feature_store.streams.clicks import CLICKS, ROWS_PER_DAY

DEFINITION = Definition(
    name="clicks",
    description="Generated impressions: will the user click? The best possible AUC is known.",
    spine=Rows(CLICKS),
    labels=(Label(name="clicked", expression="clicked", known="click"),),
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
            minimum=max(1, int(ROWS_PER_DAY * 0.95)),
            maximum=ROWS_PER_DAY,
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
        Check(
            stage="scores",
            kind="row_count",
            minimum=max(1, int(ROWS_PER_DAY * 0.95)),
            maximum=ROWS_PER_DAY,
        ),
        Check(stage="scores", kind="not_null", columns=("score",)),
        Check(stage="scores", kind="between", columns=("score",), minimum=0, maximum=1),
        Check(stage="scores", kind="unique", columns=("impression",)),
        Check(stage="scores", kind="mean_between", columns=("score",), minimum=0.02, maximum=0.6),
    ),
    training=Training(model="dcnv2"),
    gate=Gate(min_auc=0.6, segments=("device", "item_category")),
    first_day=CLICKS.first_day,
)
