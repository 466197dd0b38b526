"""Which of the most bought items will each active user order within a week? Generated."""

from __future__ import annotations

from datetime import timedelta

from feature_store.definition import (
    Active,
    Categorical,
    Check,
    Cross,
    Definition,
    Derived,
    Gate,
    History,
    Numeric,
    Outcome,
    Product,
    Sequence,
    Top,
    Training,
)
from feature_store.definitions import _shop
from feature_store.streams.shop_orders import SHOP_ORDERS

# What nobody advertised: an order after a click on an ad is no habit.
DIRECT = "channel = 'direct'"

DEFINITION = Definition(
    name="shop_reorder",
    description="Generated shop: which items will a user order again within 7 days?",
    spine=Product(
        left=Active(stream=SHOP_ORDERS, keys=("user_id",), known="order", days=56, where=DIRECT),
        right=Top(stream=SHOP_ORDERS, keys=("item_id",), known="order", days=28, n=40, by=DIRECT),
    ),
    labels=(
        Outcome(
            name="reordered", stream=SHOP_ORDERS, keys=("user_id", "item_id"), value=DIRECT,
            known="order", within_days=7, settle_days=3,
        ),
    ),
    features=(
        Categorical(name="user_id", column="user_id"),
        Categorical(name="item_id", column="item_id"),
        Categorical(name="segment", column="user.segment"),
        Categorical(name="city", column="user.city"),
        Categorical(name="category", column="item.category"),
        Categorical(name="brand", column="item.brand"),
        Categorical(name="new_item", column="new_item"),
        Cross(name="segment_category", of=("user.segment", "item.category")),
        Numeric(name="age", column="user.age"),
        Numeric(name="price", column="item.price", transform="log1p"),
    ),
    histories=(
        History(
            name="pair", stream=SHOP_ORDERS, keys=("user_id", "item_id"), value="quantity",
            where=DIRECT, known="order", windows=(28, 84),
            aggregates=("count", "mean", "days_since_last"),
        ),
        History(
            name="user", stream=SHOP_ORDERS, keys=("user_id",), value="quantity", where=DIRECT,
            known="order", windows=(28,), aggregates=("count", "days_since_last"),
        ),
        History(
            name="item", stream=SHOP_ORDERS, keys=("item_id",), value="quantity", where=DIRECT,
            known="order", windows=(28,), aggregates=("count",),
        ),
    ),
    sequences=(
        Sequence(
            name="ordered", stream=SHOP_ORDERS, keys=("user_id",), value="item_id", where=DIRECT,
            known="order", length=10, days=56, like="item_id",
        ),
    ),
    lookups=(_shop.user(), _shop.item()),
    # Users are active, and so none is new; an item that is among the most bought may be.
    derived=(
        Derived(
            name="new_item", dtype="boolean",
            expression="coalesce(datediff(ds, `item.launched_day`) <= 28, true)",
        ),
    ),
    checks=(
        Check(stage="features", kind="row_count", minimum=1),
        Check(stage="features", kind="unique", columns=("user_id", "item_id")),
        Check(stage="features", kind="not_null", columns=("category",), mostly=0.95),
        Check(stage="scores", kind="not_null", columns=("score",)),
        Check(stage="scores", kind="between", columns=("score",), minimum=0, maximum=1),
    ),
    training=Training(model="dcnv2", validation_days=3),
    gate=Gate(min_auc=0.7, segments=("segment", "new_item"), rank_within="user_id", rank_k=5),
    # The longest window is whole by then.
    first_day=SHOP_ORDERS.first_day + timedelta(days=84),
)  # fmt: skip
