"""How probable each label of the generated shop truly is, and what no model can beat.

Every probability is exact, in closed form: none is simulated. It is that of somebody who knows all
the parameters (tastes, paces, calendars) and, of what happened, what was told before midnight UTC
at the beginning of `ds`; a model knows less, so it may come near and not beyond.

- A click: given the impression as planned, and user and item as they were the evening before.
- An order within 7 days given a click: given the same and the click, and nothing later.
- An order within 7 days of a staple by a user: given all orders told before `ds`. One may have been
  placed and not yet told; how probable that is follows from how long nothing was told.

An order counts if it is placed, whatever is told of it afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.sources.best_possible import BayesMetrics, best_possible
from feature_store.sources.draws import kept, with_columns
from feature_store.sources.shop_ads import impressions
from feature_store.sources.shop_conversions import conversion
from feature_store.sources.shop_habits import (
    TURN_DAYS,
    choice_share,
    habit,
    rhythm,
    survival,
    tries,
    turn_age,
)
from feature_store.sources.shop_orders import MOST_DAYS_LATE, days_late, order_rows, untold
from feature_store.sources.shop_settings import CATEGORIES, FIRST_DAY, Shop

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

WINDOW_DAYS = 7
"""What counts as within 7 days: on `ds` itself and the six days after it, at any hour."""
_MOST_ROWS = 2_000_000
"""Impressions whose true probability is brought to the driver."""


def click_probabilities(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return ds, impression_id and the true `probability` of a click, of what was planned in time.

    Of many impressions the first are taken: 2 million in all, as many of each day.
    """
    return _on_time(spark, shop, days).selectExpr("ds", "impression_id", "_p AS probability")


def conversion_probabilities(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return ds, impression_id, user_id, item_id and the true `probability` of an order.

    The rows are the clicked ones of those whose click probability is told. The order is one of the
    same user and item; it comes on none of the clicks' own day, so that [ds, ds + 7 days) and
    (ds, ds + 7 days] hold the same.
    """
    rows_df = with_columns(kept(_on_time(spark, shop, days), "_clicked"), conversion(shop))
    return rows_df.selectExpr("ds", "impression_id", "user_id", "item_id", "_q AS probability")


def reorder_probabilities(shop: Shop, pairs_df: DataFrame) -> DataFrame:
    """Return pairs (ds, user_id, item_id) of staples with the true `probability` of an order.

    Pairs of finds are left out. User and item must have been there before ds.
    """
    numbers = {
        "_day": "unix_date(ds)",
        "_user": "cast(substr(user_id, 2) AS bigint)",
        "_item": "cast(substr(item_id, 2) AS bigint)",
    }
    staples_df = with_columns(pairs_df, numbers).where("_item % 2 = 0")
    rows_df = with_columns(staples_df, *_reorder(shop))
    return rows_df.selectExpr(*pairs_df.columns, "_reorder AS probability")


def ordered_pairs(
    spark: SparkSession, shop: Shop, days: Sequence[date], *, within_days: int = 60
) -> DataFrame:
    """Return the pairs (ds, user_id, item_id) of staples ordered not long before ds.

    That is in so many days before it, as far as it was told before it.
    """
    before = {day - timedelta(days=lag) for day in days for lag in range(1, within_days + 1)}
    past = sorted(day for day in before if day >= FIRST_DAY)
    dates = ", ".join(f"DATE'{day.isoformat()}'" for day in days)
    return (
        order_rows(spark, shop, past)
        .where("channel = 'direct'")
        .selectExpr(
            "user_id", "item_id", "ds AS ordered", "known_at", f"explode(array({dates})) AS ds"
        )
        .where(f"datediff(ds, ordered) BETWEEN 1 AND {within_days}")
        .where("known_at < timestamp_seconds(unix_date(ds) * 86400L)")
        .select("ds", "user_id", "item_id")
        .distinct()
    )


def best_clicks(spark: SparkSession, shop: Shop, days: Sequence[date]) -> BayesMetrics:
    """Return the best possible AUC and logloss of clicks on the impressions of `days`."""
    return _best(click_probabilities(spark, shop, days))


def best_conversions(spark: SparkSession, shop: Shop, days: Sequence[date]) -> BayesMetrics:
    """Return the best possible AUC and logloss of orders within 7 days, over clicks of `days`."""
    return _best(conversion_probabilities(spark, shop, days))


def best_reorders(shop: Shop, pairs_df: DataFrame) -> BayesMetrics:
    """Return the best possible AUC and logloss of orders within 7 days, over pairs.

    They are those of `reorder_probabilities`; all are brought to the driver, 8 bytes each.
    """
    return _best(reorder_probabilities(shop, pairs_df))


def _on_time(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    # Row numbers carry no meaning, so the first ones of a day are a sample of it.
    most = -(-_MOST_ROWS // len(days))
    return impressions(spark, shop, days).where(f"NOT _late AND _row < {most}")


def _best(probabilities_df: DataFrame) -> BayesMetrics:
    return best_possible(probabilities_df.select("probability").toArrow()["probability"].to_numpy())


def _reorder(shop: Shop) -> list[Mapping[str, str]]:
    """Return the steps that add `_reorder` to `_user`, `_item` and `_day`.

    No order comes if none comes of the habit there is, and the turn that begins within the window,
    if one does, does not try the item.
    """
    is_told = f"n + {days_late(shop, '(_start + n)', '(n = 0)')} < _day - _start"
    window = f"least({WINDOW_DAYS}, _next - _day)"
    begins = f"if(_next < _day + {WINDOW_DAYS}, {tries(shop)} * {choice_share(shop, '_next')}, 0D)"
    return [
        {"_category": f"cast((_item div 2) % {CATEGORIES} AS int)"},
        {"_start": f"_day - 1 - {turn_age(shop, '(_day - 1)')}"},
        {**habit(shop), "_next": f"_start + {TURN_DAYS}"},
        *rhythm(shop),
        {
            "_quiet": f"_day - 1 - _start - array_max(filter(_orders, n -> {is_told}))",
            "_window": window,
        },
        {
            "_none": f"if(_habit <=> _item, {_none_follows(shop)}, 1D)",
            "_begins": begins,
        },
        {"_reorder": "1D - _none * (1D - _begins)"},
    ]


def _none_follows(shop: Shop) -> str:
    """Return the probability of no order on the next `_window` days, none being told for `_quiet`.

    Either none was placed since, or one was, on a day so few days back that it may not be told yet.
    """
    seen, none = [survival("_quiet")], [survival("(_quiet + _window)")]
    for back in range(1, MOST_DAYS_LATE + 1):
        since, until = survival(f"(_quiet - {back})"), survival(f"(_quiet + 1 - {back})")
        hidden = f"{untold(shop, back)!r}D * ({since} - {until})"
        # No order follows another so soon, so nothing but this one can have been placed since.
        seen.append(hidden)
        none.append(f"{hidden} * {survival(f'({back - 1} + _window)')}")
    return f"({' + '.join(none)}) / ({' + '.join(seen)})"
