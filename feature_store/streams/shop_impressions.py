"""What the generated shop shows: planned the evening before, a few only on the day."""

from __future__ import annotations

from feature_store.definition import Column, Known, Stream
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_settings import FIRST_DAY
from feature_store.streams.shop_size import SHOP

SHOP_IMPRESSIONS = Stream(
    name="shop_impressions",
    source=ShopTable(table="impressions", shop=SHOP),
    keys=("impression_id",),
    event_time="shown_at",
    knowns=(Known(name="plan", at="planned_at"),),
    columns=(
        Column(name="impression_id", dtype="bigint", known="plan", nullable=False, minimum=0),
        Column(name="user_id", dtype="string", known="plan", nullable=False),
        Column(name="item_id", dtype="string", known="plan", nullable=False),
        Column(name="slot", dtype="string", known="plan", nullable=False),
        Column(name="device", dtype="string", known="plan", nullable=False),
        Column(name="hour", dtype="int", known="plan", nullable=False, minimum=0, maximum=23),
        Column(name="position", dtype="int", known="plan", nullable=False, minimum=1, maximum=10),
        Column(name="planned_at", dtype="timestamp", known="plan", nullable=False),
        Column(name="shown_at", dtype="timestamp", known="plan", nullable=False),
    ),
    first_day=FIRST_DAY,
)
