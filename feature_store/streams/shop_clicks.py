"""Clicks on what the generated shop showed: told within the hour, a few one to three days later."""

from __future__ import annotations

from feature_store.definition import Column, Known, Stream
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_settings import FIRST_DAY
from feature_store.streams.shop_size import SHOP

SHOP_CLICKS = Stream(
    name="shop_clicks",
    source=ShopTable(table="clicks", shop=SHOP),
    keys=("impression_id",),
    event_time="clicked_at",
    knowns=(Known(name="click", at="known_at"),),
    columns=(
        Column(name="impression_id", dtype="bigint", known="click", nullable=False, minimum=0),
        Column(name="user_id", dtype="string", known="click", nullable=False),
        Column(name="item_id", dtype="string", known="click", nullable=False),
        Column(name="clicked_at", dtype="timestamp", known="click", nullable=False),
        Column(name="known_at", dtype="timestamp", known="click", nullable=False),
    ),
    first_day=FIRST_DAY,
)
