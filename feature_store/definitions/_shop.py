"""What both pipelines of the generated shop look up: of users and items, as they were last told."""

from __future__ import annotations

from feature_store.definition import Column, Lookup
from feature_store.sources.shop import ShopTable
from feature_store.streams.shop_size import SHOP

_DAY = 24


def user(at: str | None = None) -> Lookup:
    """Return the lookup of users: every one is told again every 28 days."""
    return Lookup(
        name="user",
        source=ShopTable(table="users", shop=SHOP),
        keys=("user_id",),
        columns=(
            Column(name="segment", dtype="string", known="told"),
            Column(name="city", dtype="string", known="told"),
            Column(name="age", dtype="int", known="told"),
        ),
        at=at,
        max_age_hours=29 * _DAY,
    )


def item(at: str | None = None) -> Lookup:
    """Return the lookup of items: every one is told again every 14 days."""
    return Lookup(
        name="item",
        source=ShopTable(table="items", shop=SHOP),
        keys=("item_id",),
        columns=(
            Column(name="category", dtype="string", known="told"),
            Column(name="brand", dtype="string", known="told"),
            Column(name="price", dtype="double", known="told"),
        ),
        at=at,
        max_age_hours=15 * _DAY,
    )
