"""The orders of the generated shop as they are told: once, and some again when they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.sources.draws import instant, pick, uniform, with_columns
from feature_store.sources.shop_conversions import orders_of_clicks
from feature_store.sources.shop_habits import orders_of_habits
from feature_store.sources.shop_settings import Shop
from feature_store.sources.shop_sides import USER_ID, items_at

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ORDER_COLUMNS = (
    "ds", "order_id", "user_id", "item_id", "channel", "quantity", "price", "status",
    "ordered_at", "known_at", "source_file",
)  # fmt: skip
MOST_DAYS_LATE = 3
"""Less than the least gap of a habit: at most one order of it is not yet told at a time."""
_ORDER = ("_user", "_item", "_day")


def order_rows(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return every telling of the orders of `days`; the later ones have a later `known_at`.

    What is told later changes a quantity or the status, never who ordered what.
    """
    habits_df = orders_of_habits(spark, shop, days).selectExpr("*", "'direct' AS channel")
    clicks_df = orders_of_clicks(spark, shop, days).selectExpr(
        "*", "false AS _tried", "'ad' AS channel"
    )
    return with_columns(
        habits_df.unionByName(clicks_df),
        *items_at(shop, "(_day - 1)"),
        _placed(shop),
        {"_telling": _tellings(shop)},
        _told(shop),
    ).select(*ORDER_COLUMNS)


def days_late(shop: Shop, day: str, is_tried: str) -> str:
    """Return how many days late an order of `_user` and `_item` on a day is told, 0 for most.

    The first of a habit never is: until it is told, nobody knew of the habit at all.
    """
    slow = f"{uniform(shop, 'slow order', '_user', '_item', day)} < {shop.slow_share!r}D"
    late = pick(uniform(shop, "days late", "_user", "_item", day), MOST_DAYS_LATE)
    return f"if(NOT {is_tried} AND {slow}, 1 + {late}, 0)"


def untold(shop: Shop, days: int) -> float:
    """Return the probability that an order, not a habit's first, is not told so many days later.

    Days are counted from the order's to the one before which it was to be known.
    """
    return shop.slow_share * max(MOST_DAYS_LATE + 1 - days, 0) / MOST_DAYS_LATE


def _placed(shop: Shop) -> Mapping[str, str]:
    few = f"power({uniform(shop, 'quantity', *_ORDER)}, 2D)"
    return {
        "ds": "date_from_unix_date(_day)",
        # A pair has one order on a day at most.
        "order_id": "concat_ws('-', _day, _user, _item)",
        "user_id": USER_ID,
        "_quantity": f"1 + {pick(few, 4)}",
        # Between 6 and 22 o'clock, so that what is not late is told before the day ends.
        "_second": f"(21600 + 57600 * {uniform(shop, 'order second', *_ORDER)})",
        "source_file": "'generated'",
    }


def _tellings(shop: Shop) -> str:
    """Return what is told of an order, a row each: it is placed, and then perhaps changed."""
    drawn = uniform(shop, "changes", *_ORDER)
    return (
        f"explode_outer(CASE WHEN {drawn} < {shop.corrected_share!r}D"
        " THEN array('placed', 'corrected')"
        f" WHEN {drawn} < {shop.corrected_share + shop.cancelled_share!r}D"
        " THEN array('placed', 'cancelled') ELSE array('placed') END)"
    )


def _told(shop: Shop) -> Mapping[str, str]:
    """Return what one telling says, and when: a change always after what it changes."""
    drawn = uniform(shop, "told", *_ORDER, "_telling")
    less = f"_quantity > 1 AND {uniform(shop, 'less', *_ORDER)} < 0.5D"
    after = (
        f"CASE _telling WHEN 'placed' THEN 60 + 1800 * {drawn}"
        f" WHEN 'corrected' THEN 86400 * (1 + 4 * {drawn})"
        f" ELSE 86400 * (0.5D + 8.5D * {drawn}) END"
    )
    late = f"86400 * {days_late(shop, '_day', '_tried')}"
    return {
        "quantity": f"_quantity + if(_telling = 'corrected', if({less}, -1, 1), 0)",
        "status": "if(_telling = 'cancelled', 'cancelled', 'placed')",
        "ordered_at": instant("_day", "_second"),
        "known_at": instant("_day", f"_second + {late} + {after}"),
    }
