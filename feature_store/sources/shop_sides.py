"""Users and items of the generated shop: what they are at the end of a day, and their side tables.

Whatever holds at the end of a day is told within it, so what the next day brings may depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.sources.draws import effect, instant, label, pick, uniform, with_columns
from feature_store.sources.shop_settings import (
    CATEGORIES,
    FIRST,
    Numbered,
    Shop,
    count,
    count_by,
    growth,
    listed,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

USER_DAYS, ITEM_DAYS = 28, 14
"""Days after which a user, or an item, is told again: changed, or as before."""
_SEGMENTS, _CITIES, _BRANDS = 12, 20, 40
_STAY = 6
"""A user keeps a segment, and a city, for as many tellings."""
_USER = ("user_id", "segment", "age", "city", "signup_day")
_ITEM = ("item_id", "category", "brand", "price", "launched_day")
USER_ID, ITEM_ID = label("u", "_user"), label("i", "_item")


def signup(shop: Shop) -> str:
    """Return the day on which `_user` signed up, a number since 1970."""
    return _came(shop, "_user")


def age(shop: Shop) -> str:
    """Return the age of `_user` in years, which this shop asks once."""
    return f"cast(floor(16 + 60 * power({uniform(shop, 'age', '_user')}, 1.4D)) AS int)"


def users_at(shop: Shop, day: str) -> list[Mapping[str, str]]:
    """Return the steps that add to `_user` what it is at the end of a day, hidden income included.

    Income has a part that the city tells, and one of the user's own that no column does: only what
    the user clicked and ordered. It has a mean of 0 and a standard deviation of 1.
    """

    def of(salt: str, *fields: str) -> str:
        return uniform(shop, salt, "_user", *fields)

    stay = f"({_tellings(shop, '_user', USER_DAYS, day)} + {pick(of('stay'), _STAY)})"
    # Of segment and city each changes halfway between two changes of the other.
    segment = of("segment", f"{stay} div {_STAY}")
    city = f"power({of('city', f'({stay} + {_STAY // 2}) div {_STAY}')}, 1.3D)"
    income = effect(shop, 0.6, "income of city", "city"), effect(shop, 0.8, "income", "_user")
    return [
        {
            "user_id": USER_ID,
            "segment": label("g", pick(segment, _SEGMENTS)),
            "age": age(shop),
            "city": label("c", pick(city, _CITIES)),
        },
        {"_income": " + ".join(income)},
    ]


def items_at(shop: Shop, day: str) -> list[Mapping[str, str]]:
    """Return the steps that add to `_item` what it is at the end of a day.

    `_discount` is how far its price is below the usual one, in logarithms (mean 0, standard
    deviation 0.2), `_dearness` how dear it is among all (mean 0, standard deviation 1).
    """
    drawn = pick(f"power({uniform(shop, 'category', '_item')}, 1.2D)", CATEGORIES)
    number = f"if(_item % 2 = 0, (_item div 2) % {CATEGORIES}, {CATEGORIES} + {drawn})"
    changes = _tellings(shop, "_item", ITEM_DAYS, day)
    brand = f"power({uniform(shop, 'brand', '_item')}, 2D)"
    return [
        {
            "_discount": effect(shop, 0.2, "discount", "_item", changes),
            "_dearness": effect(shop, 1.0, "dearness", "_item"),
        },
        {
            "item_id": ITEM_ID,
            "category": label("k", number),
            "brand": label("b", pick(brand, _BRANDS)),
            "price": "round(exp(3D + 1.1D * _dearness - _discount), 2)",
        },
    ]


def user_rows(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return who signed up on each of `days` or is told again; everybody on the first of all."""
    came = {"signup_day": f"date_from_unix_date({signup(shop)})"}
    told_df = _told(spark, shop, "_user", USER_DAYS, days)
    return with_columns(told_df, *users_at(shop, "_day"), came).select(*_of_side(_USER))


def item_rows(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return what was launched on each of `days` or is told again; everything on the first."""
    came = {"launched_day": f"date_from_unix_date({_came(shop, '_item')})"}
    told_df = _told(spark, shop, "_item", ITEM_DAYS, days)
    return with_columns(told_df, *items_at(shop, "_day"), came).select(*_of_side(_ITEM))


def _of_side(columns: Sequence[str]) -> list[str]:
    return ["ds", *columns, "event_time", "known_at", "source_file"]


def _came(shop: Shop, what: Numbered) -> str:
    """Return the day on which a user or an item came, a number since 1970."""
    first, per_day = growth(shop, what)
    before = f"{FIRST} - 1 - {pick(uniform(shop, f'came {what}', what), 900)}"
    later = f"cast({FIRST} + 1 + ({what} - {first}) div {max(per_day, 1)} AS int)"
    return f"if({what} < {first}, {before}, {later})"


def _phase(shop: Shop, what: Numbered, every: int) -> str:
    return pick(uniform(shop, f"phase {what}", what), every)


def _tellings(shop: Shop, what: Numbered, every: int, day: str) -> str:
    """Return a number that grows by one with each day on which one of them is told again."""
    return f"(({day} + {_phase(shop, what, every)}) div {every})"


def _told(
    spark: SparkSession, shop: Shop, what: Numbered, every: int, days: Sequence[date]
) -> DataFrame:
    """Return the users or items that `days` tell of, with the times of their rows.

    What the first day tells was so before it, and was known the evening before.
    """
    before, now = count(shop, what, "(_day - 1)"), count(shop, what, "_day")
    again = f"(_day + {_phase(shop, what, every)}) % {every} = 0"
    begins = f"(21600 + 50000 * {uniform(shop, f'begins {what}', what, '_day')})"
    told = f"({begins} + 3600 * {uniform(shop, f'told {what}', what, '_day')})"
    times = {
        "ds": "date_from_unix_date(_day)",
        "event_time": instant("_day", f"if(_day = {FIRST}, 0, {begins})"),
        "known_at": instant("_day", f"if(_day = {FIRST}, -21600, {told})"),
        "source_file": "'generated'",
    }
    rows_df = (
        spark.range(count_by(shop, what, max(days)))
        .selectExpr(f"id AS {what}", f"explode(array({listed(days)})) AS _day")
        .where(f"{what} < {now} AND (_day = {FIRST} OR {what} >= {before} OR {again})")
    )
    return with_columns(rows_df, times)
