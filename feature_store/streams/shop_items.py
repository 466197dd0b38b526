"""Items of the generated shop, as of the day on which each is told: by 14 days at the latest."""

from __future__ import annotations

from feature_store.definition import Column, Known, Stream
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_settings import FIRST_DAY
from feature_store.streams.shop_size import SHOP

SHOP_ITEMS = Stream(
    name="shop_items",
    source=ShopTable(table="items", shop=SHOP),
    # Of a shop small enough there are days on which nobody is told of.
    kind="changes",
    keys=("item_id",),
    event_time="event_time",
    knowns=(Known(name="item", at="known_at"),),
    columns=(
        Column(name="item_id", dtype="string", known="item", nullable=False),
        Column(name="category", dtype="string", known="item", nullable=False),
        Column(name="brand", dtype="string", known="item", nullable=False),
        Column(name="price", dtype="double", known="item", nullable=False, minimum=0),
        Column(name="launched_day", dtype="date", known="item", nullable=False),
        Column(name="event_time", dtype="timestamp", known="item", nullable=False),
        Column(name="known_at", dtype="timestamp", known="item", nullable=False),
    ),
    first_day=FIRST_DAY,
)
