"""Will a planned ad be clicked, and the item then ordered? Generated, best possible AUC known."""

from __future__ import annotations

from datetime import timedelta

from feature_store.definition import (
    Categorical,
    Check,
    Cross,
    Definition,
    Derived,
    Gate,
    History,
    Numeric,
    Outcome,
    Rows,
    Training,
)
from feature_store.definitions import _shop
from feature_store.streams.shop_clicks import SHOP_CLICKS
from feature_store.streams.shop_impressions import SHOP_IMPRESSIONS
from feature_store.streams.shop_orders import SHOP_ORDERS

DEFINITION = Definition(
    name="shop_ads",
    description="Generated shop: will a planned ad be clicked, and the item then be ordered?",
    spine=Rows(SHOP_IMPRESSIONS),
    labels=(
        # A click that is not told by then is none.
        Outcome(
            name="click", stream=SHOP_CLICKS, keys=("impression_id",),
            value="user_id IS NOT NULL", known="click", within_days=1, settle_days=3,
        ),
        # Orders name no impression. Of user and item it is clear: what is shown is shown again a
        # week later at the earliest, and until then ordered after a click or not at all.
        Outcome(
            name="order", given="click", stream=SHOP_ORDERS, keys=("user_id", "item_id"),
            value="channel = 'ad'", known="order", within_days=7, settle_days=3,
        ),
    ),
    features=(
        *(
            Categorical(name=name, column=name)
            for name in ("user_id", "item_id", "slot", "device", "hour", "position")
        ),
        Categorical(name="segment", column="user.segment"),
        Categorical(name="city", column="user.city"),
        Categorical(name="category", column="item.category"),
        Categorical(name="brand", column="item.brand"),
        Categorical(name="new_user", column="new_user"),
        Categorical(name="new_item", column="new_item"),
        Cross(name="segment_category", of=("user.segment", "item.category")),
        Cross(name="device_hour", of=("device", "hour")),
        Numeric(name="age", column="user.age"),
        Numeric(name="price", column="item.price", transform="log1p"),
    ),
    histories=(
        History(
            name="item_clicks", stream=SHOP_CLICKS, keys=("item_id",), value="impression_id",
            known="click", windows=(7, 28), aggregates=("count",),
        ),
        History(
            name="item_shown", keys=("item_id",), value="position", known="plan", windows=(7, 28),
            aggregates=("count", "mean"),
        ),
        History(
            name="user_clicks", stream=SHOP_CLICKS, keys=("user_id",), value="impression_id",
            known="click", windows=(28,), aggregates=("count", "days_since_last"),
        ),
        History(
            name="user_shown", keys=("user_id",), value="position", known="plan", windows=(28,),
            aggregates=("count",),
        ),
    ),
    lookups=(_shop.user(at="planned_at"), _shop.item(at="planned_at")),
    # Who came in the last week, or of whom nothing is known yet.
    derived=(
        Derived(
            name="new_user", dtype="boolean",
            expression="coalesce(datediff(ds, `user.signup_day`) <= 7, true)",
        ),
        Derived(
            name="new_item", dtype="boolean",
            expression="coalesce(datediff(ds, `item.launched_day`) <= 7, true)",
        ),
    ),
    checks=(
        Check(stage="features", kind="row_count", minimum=1),
        Check(stage="features", kind="unique", columns=("impression_id",)),
        Check(stage="features", kind="not_null", columns=("category",), mostly=0.95),
        *(
            check
            for name in ("score_click", "score_order")
            for check in (
                Check(stage="scores", kind="not_null", columns=(name,)),
                Check(stage="scores", kind="between", columns=(name,), minimum=0, maximum=1),
            )
        ),
    ),
    training=Training(model="dcnv2", validation_days=3),
    gate=Gate(min_auc=0.6, segments=("device", "category", "new_user", "new_item")),
    first_day=SHOP_IMPRESSIONS.first_day + timedelta(days=28),
)  # fmt: skip
