"""Orders in the generated shop: some told late, some told again as corrected or cancelled."""

from __future__ import annotations

from feature_store.definition import Column, Known, Stream
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_settings import FIRST_DAY
from feature_store.streams.shop_size import SHOP

SHOP_ORDERS = Stream(
    name="shop_orders",
    source=ShopTable(table="orders", shop=SHOP),
    keys=("order_id",),
    event_time="ordered_at",
    # One group: what is told again is told whole.
    knowns=(Known(name="order", at="known_at"),),
    columns=(
        Column(name="order_id", dtype="string", known="order", nullable=False),
        Column(name="user_id", dtype="string", known="order", nullable=False),
        Column(name="item_id", dtype="string", known="order", nullable=False),
        Column(name="channel", dtype="string", known="order", nullable=False),
        Column(name="quantity", dtype="int", known="order", nullable=False, minimum=1),
        Column(name="price", dtype="double", known="order", nullable=False, minimum=0),
        Column(name="status", dtype="string", known="order", nullable=False),
        Column(name="ordered_at", dtype="timestamp", known="order", nullable=False),
        Column(name="known_at", dtype="timestamp", known="order", nullable=False),
    ),
    first_day=FIRST_DAY,
)
