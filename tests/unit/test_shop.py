"""What is said of the generated shop without making a row of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import pytest

from feature_store.errors import SourceDayMissing
from feature_store.sources.shop import ShopTable, Table
from feature_store.sources.shop_orders import MOST_DAYS_LATE, untold
from feature_store.sources.shop_settings import FIRST_DAY, Shop, count_by
from feature_store.streams import clicks, shop_clicks, shop_impressions, shop_items, shop_orders
from feature_store.streams.shop_users import SHOP_USERS

STREAMS = (
    shop_impressions.SHOP_IMPRESSIONS,
    shop_clicks.SHOP_CLICKS,
    shop_orders.SHOP_ORDERS,
    SHOP_USERS,
    shop_items.SHOP_ITEMS,
)
TABLES: tuple[Table, ...] = ("impressions", "clicks", "orders", "users", "items")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("users", 0),
        ("items", 15),
        ("impressions_per_day", 10**9),
        ("new_users_per_day", -1),
        ("new_items_per_day", 10**6),
        ("slow_share", 0.6),
        ("cancelled_share", -0.1),
    ],
)
def test_settings_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Shop.{field}="):
        Shop(**{field: value})  # type: ignore[arg-type]


def test_a_fingerprint_tells_tables_shops_and_days_apart() -> None:
    shops = (Shop(), Shop(seed=8), Shop(users=2_001))
    days = (FIRST_DAY, FIRST_DAY + timedelta(days=1))
    asked = list(product(TABLES, shops, days))
    found = [ShopTable(table=table, shop=shop).fingerprint(day) for table, shop, day in asked]
    assert len(set(found)) == len(asked)
    assert found[0] == ShopTable(table="impressions").fingerprint(FIRST_DAY)


def test_there_is_no_day_before_the_first() -> None:
    with pytest.raises(SourceDayMissing, match="the log begins on 2026-01-01"):
        ShopTable(table="orders").fingerprint(date(2025, 12, 31))


def test_the_streams_of_the_shop_are_told_apart_and_are_of_one_shop() -> None:
    names = [stream.name for stream in STREAMS]
    assert names == [f"shop_{table}" for table in TABLES]
    assert clicks.CLICKS.name not in names
    assert [stream.source for stream in STREAMS] == [ShopTable(table=table) for table in TABLES]


def test_another_shop_is_another_stream_to_whoever_made_tables_of_it() -> None:
    other = replace(SHOP_USERS, source=ShopTable(table="users", shop=Shop(seed=8)))
    assert other.digest != SHOP_USERS.digest


def test_users_and_items_come_every_day() -> None:
    shop = Shop(users=5, new_users_per_day=3, items=20, new_items_per_day=0)
    later = FIRST_DAY + timedelta(days=4)
    assert [count_by(shop, "_user", day) for day in (FIRST_DAY, later)] == [5, 17]
    assert [count_by(shop, "_item", day) for day in (FIRST_DAY, later)] == [20, 20]


def test_whatever_is_late_is_told_in_the_end() -> None:
    shop = Shop(slow_share=0.3)
    found = [untold(shop, days) for days in range(1, MOST_DAYS_LATE + 2)]
    assert found == pytest.approx([0.3, 0.2, 0.1, 0.0])
