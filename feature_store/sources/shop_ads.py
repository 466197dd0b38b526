"""What the generated shop shows, and who clicks: impressions with their true click probability.

Only finds are shown. What decides a click was known the evening before its day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.sources.draws import (
    TURN,
    effect,
    instant,
    kept,
    label,
    logistic,
    pick,
    salt_number,
    uniform,
    with_columns,
)
from feature_store.sources.shop_settings import Numbered, Shop, count, growth, listed
from feature_store.sources.shop_sides import items_at, users_at

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEVICES = ("phone", "tablet", "desktop", "tv")
REST_DAYS = 7
"""A user sees an item on one day of so many, so of an order it is clear which day's ads led to it.
"""
_NEW_SHARE, _NEW_DAYS = 0.1, 30
"""A tenth of what is shown is of items that came in so many days, and as much is for such users."""
_IMPRESSION = (
    "ds", "impression_id", "user_id", "item_id", "slot", "device", "hour", "position",
    "planned_at", "shown_at", "source_file",
)  # fmt: skip
_CLICK = (
    "ds", "impression_id", "user_id", "item_id", "clicked_at", "known_at", "source_file",
)  # fmt: skip


def impression_rows(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return what is shown on `days`, as it is told."""
    return impressions(spark, shop, days).select(*_IMPRESSION)


def click_rows(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return the clicks of `days`: told within an hour, a few one to three days later."""
    return kept(impressions(spark, shop, days), "_clicked").select(*_CLICK)


def impressions(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return every impression of `days`, with its true probability `_p`, `_clicked` and `_late`."""
    return with_columns(
        _numbers(spark, shop, days),
        _drawn(shop),
        {"_item": f"2 * {_rested(shop)} + 1"},
        *users_at(shop, "(_day - 1)"),
        *items_at(shop, "(_day - 1)"),
        _context(shop),
        _probability(shop),
        _outcome(shop),
    )


def _numbers(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    per_day = shop.impressions_per_day
    return (
        spark.range(per_day * len(days))
        .selectExpr(
            f"element_at(array({listed(days)}), cast(id div {per_day} AS int) + 1) AS _day",
            f"id % {per_day} AS _row",
        )
        .selectExpr("*", f"xxhash64({salt_number(shop, 'impression')}, _day, _row) AS _own")
    )


def _drawn(shop: Shop) -> Mapping[str, str]:
    """Return who sees what: the earlier come more often, the newest have a share of their own.

    Who signed up, and what was launched, on the day itself is not known when its ads are planned.
    """
    return {"_user": _one_of(shop, "_user", 1), "_find": _one_of(shop, "_item", 2)}


def _finds(shop: Shop) -> str:
    return f"({count(shop, '_item', '(_day - 1)')} div 2)"


def _one_of(shop: Shop, what: Numbered, nth: int) -> str:
    """Return the number of one of the users, or of every second item, of the evening before."""
    there = f"({count(shop, what, '(_day - 1)')} div {nth})"
    newest = f"least({there}, {max(_NEW_DAYS * growth(shop, what)[1] // nth, 1)}L)"
    drawn = uniform(shop, f"which {what}", "_own")
    is_new = f"{uniform(shop, f'new {what}', '_own')} < {_NEW_SHARE}D"
    return (
        f"if({is_new}, {there} - 1 - floor({newest} * {drawn}),"
        f" floor({there} * power({drawn}, 1.6D)))"
    )


def _rested(shop: Shop) -> str:
    """Return the find beside the drawn one whose turn with the user it is on the day."""
    turn = f"((_day + {pick(uniform(shop, 'turn', '_user'), REST_DAYS)}) % {REST_DAYS})"
    beside = f"(_find - _find % {REST_DAYS} + {turn})"
    return f"if({beside} < {_finds(shop)}, {beside}, {beside} - {REST_DAYS})"


def _context(shop: Shop) -> Mapping[str, str]:
    def at(salt: str) -> str:
        return uniform(shop, salt, "_own")

    # Two bumps a day: the mean of two uniforms falls around noon, the rest in the evening.
    noon = pick(f"(({at('h1')} + {at('h2')}) / 2)", 24)
    names = ", ".join(f"'{name}'" for name in DEVICES)
    place = f"power({at('position')}, 1.5D)"
    return {
        "ds": "date_from_unix_date(_day)",
        "impression_id": "_day * 100000000L + _row",
        "slot": label("s", pick(f"power({at('slot')}, 1.3D)", 5)),
        "device": f"element_at(array({names}), {pick(at('device'), len(DEVICES))} + 1)",
        "hour": f"if({at('noon')} < 0.6D, {noon}, 18 + {pick(at('h3'), 6)})",
        "position": f"1 + {pick(place, 10)}",
        "source_file": "'generated'",
    }


def _probability(shop: Shop) -> Mapping[str, str]:
    """Return the true probability of a click."""

    def of(deviation: float, *fields: str) -> str:
        return effect(shop, deviation, "click " + " x ".join(fields), *fields)

    fashion = uniform(shop, "fashion", "category")
    single = [
        of(0.25, "_user"),
        of(0.25, "_item"),
        of(0.20, "slot"),
        "0.3D - 0.08D * position",
        "0.8D * _discount",
        f"0.2D * sin({TURN} * (_day / 90D + {fashion}))",
    ]
    pairs = [
        of(0.70, "segment", "category"),
        of(0.40, "hour", "device"),
        of(0.30, "slot", "device"),
        of(0.30, "city", "brand"),
        "0.40D * _income * _dearness",
    ]
    return {"_p": logistic("-2.6D", *single, *pairs)}


def _outcome(shop: Shop) -> Mapping[str, str]:
    """Return the times, whether it is clicked, and when that becomes known."""

    def at(salt: str) -> str:
        return uniform(shop, salt, "_own")

    late = f"{at('late')} < {shop.late_share!r}D"
    shown = f"(hour * 3600 + 3000 * {at('second')})"
    planned = f"if({late}, {shown} * {at('planned')}, -3600 * (2 + 4 * {at('planned')}))"
    clicked = f"({shown} + 1 + 590 * {at('looks')})"
    is_slow = f"{at('slow')} < {shop.slow_share!r}D"
    delay = f"if({is_slow}, 86400 * (1 + 2 * {at('delay')}), 3600 * {at('delay')})"
    return {
        "_late": late,
        "_clicked": f"{at('click')} < _p",
        "planned_at": instant("_day", planned),
        "shown_at": instant("_day", shown),
        "clicked_at": instant("_day", clicked),
        "known_at": instant("_day", f"{clicked} + {delay}"),
    }
