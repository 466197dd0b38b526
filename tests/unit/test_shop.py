"""What is said of the generated shop without making a row of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product

import pytest

from feature_store.definitions import shop_ads, shop_reorder
from feature_store.errors import DefinitionError, SourceDayMissing
from feature_store.sources.shop import ShopTable, Table
from feature_store.sources.shop_orders import MOST_DAYS_LATE, untold
from feature_store.sources.shop_settings import FIRST_DAY, Shop, count_by
from feature_store.streams import clicks, shop_clicks, shop_impressions, shop_items, shop_orders
from feature_store.streams.shop_size import shop_of
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


def test_the_shop_of_the_environment_grows_with_its_scale() -> None:
    small, usual, large = shop_of("0.01"), shop_of(None), shop_of("4")
    assert usual == Shop()
    assert (small.users, small.items, small.impressions_per_day) == (20, 40, 50)
    assert (large.users, large.items, large.impressions_per_day) == (8_000, 800, 20_000)
    assert large.new_items_per_day == 4
    for text in ("many", "0", "nan", "1e9", ""):
        with pytest.raises(DefinitionError, match=r"NIGHTSCORE_SHOP_SCALE='.*must be a number in"):
            shop_of(text)


def test_the_pipelines_of_the_shop_share_its_streams_and_what_they_count_alike() -> None:
    ads, reorder = shop_ads.DEFINITION, shop_reorder.DEFINITION
    looked_up = ["shop_users", "shop_items"]
    assert [s.name for s in ads.streams] == ["shop_impressions", "shop_clicks", *looked_up]
    assert [s.name for s in ads.all_streams][-1] == "shop_orders"
    assert [s.name for s in reorder.all_streams] == ["shop_orders", *looked_up]
    assert reorder.stream is None
    # The label is told by the tiles that the pairs' spine is told by, or those of histories.
    assert len(reorder.tilings(reorder.outcomes[0].stream)) == 7
    assert ads.score_columns == ("score_click", "score_order")
    assert [ads.label_days_of(label) for label in ads.labels] == [4, 10]
    assert reorder.label_days == 10
