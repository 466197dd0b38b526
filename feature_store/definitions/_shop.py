"""What both pipelines of the generated shop look up: of users and items, as they were last told."""

from __future__ import annotations

from feature_store.definition import Lookup
from feature_store.streams.shop_items import SHOP_ITEMS
from feature_store.streams.shop_users import SHOP_USERS

_DAY = 24


def user(at: str | None = None) -> Lookup:
    """Return the lookup of users: every one is told again every 28 days."""
    return Lookup(
        name="user",
        stream=SHOP_USERS,
        columns=("segment", "city", "age", "signup_day"),
        at=at,
        max_age_hours=29 * _DAY,
    )


def item(at: str | None = None) -> Lookup:
    """Return the lookup of items: every one is told again every 14 days."""
    return Lookup(
        name="item",
        stream=SHOP_ITEMS,
        columns=("category", "brand", "price", "launched_day"),
        at=at,
        max_age_hours=15 * _DAY,
    )
