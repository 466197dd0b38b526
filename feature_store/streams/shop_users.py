"""Users of the generated shop, as of the day on which each is told: by 28 days at the latest."""

from __future__ import annotations

from feature_store.definition import Column, Known, Stream
from feature_store.sources.shop import ShopTable
from feature_store.sources.shop_settings import FIRST_DAY
from feature_store.streams.shop_size import SHOP

SHOP_USERS = Stream(
    name="shop_users",
    source=ShopTable(table="users", shop=SHOP),
    # Of a shop small enough there are days on which nobody is told of.
    kind="changes",
    keys=("user_id",),
    event_time="event_time",
    knowns=(Known(name="user", at="known_at"),),
    columns=(
        Column(name="user_id", dtype="string", known="user", nullable=False),
        Column(name="segment", dtype="string", known="user", nullable=False),
        Column(name="age", dtype="int", known="user", nullable=False, minimum=16, maximum=120),
        Column(name="city", dtype="string", known="user", nullable=False),
        Column(name="signup_day", dtype="date", known="user", nullable=False),
        Column(name="event_time", dtype="timestamp", known="user", nullable=False),
        Column(name="known_at", dtype="timestamp", known="user", nullable=False),
    ),
    first_day=FIRST_DAY,
)
