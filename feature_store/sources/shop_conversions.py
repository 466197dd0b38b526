"""Orders of finds in the generated shop: they come out of clicks.

Whether a user orders a find after a day's clicks on it is drawn once for the three, however many
clicks there are: the true probability, given a click, is the same for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from feature_store.sources.draws import effect, kept, logistic, pick, uniform, with_columns
from feature_store.sources.shop_ads import REST_DAYS, impressions
from feature_store.sources.shop_settings import FIRST_DAY, Shop, listed

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LAST_LAG = REST_DAYS - 1
"""Days after its click by which an order has come: before the item is shown to the user again."""


def conversion(shop: Shop) -> Mapping[str, str]:
    """Return the true probability `_q` that an order follows a click of an impression."""

    def of(deviation: float, *fields: str) -> str:
        return effect(shop, deviation, "order " + " x ".join(fields), *fields)

    single = [of(0.30, "_user"), of(0.30, "_item"), of(0.20, "category"), "1.5D * _discount"]
    pairs = [
        of(0.65, "segment", "category"),
        of(0.40, "city", "brand"),
        of(0.30, "category", "weekday(ds)"),
        "0.50D * _income * _dearness",
    ]
    return {"_q": logistic("-1.9D", *single, *pairs)}


def orders_of_clicks(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return `_user`, `_item` and `_day` of the orders of `days` that come out of clicks.

    They come one to six days after the click, so the clicks of as many days before are looked at.
    """
    before = {day - timedelta(days=lag) for day in days for lag in range(1, _LAST_LAG + 1)}
    pair = ("_user", "_item", "_day")
    soon = f"power({uniform(shop, 'lag', *pair)}, 1.8D)"
    ordered_on = f"(_day + 1 + {pick(soon, _LAST_LAG)})"
    # Nothing is ordered on the day of the click, so the first day stands for no day at all.
    click_days = sorted(day for day in before if day >= FIRST_DAY) or [FIRST_DAY]
    impressions_df = impressions(spark, shop, click_days)
    clicks_df = kept(impressions_df, f"_clicked AND {ordered_on} IN ({listed(days)})")
    return (
        with_columns(clicks_df, conversion(shop))
        .where(f"{uniform(shop, 'ordered', *pair)} < _q")
        .selectExpr("_user", "_item", f"{ordered_on} AS _day")
        .distinct()
    )
