"""Orders of staples in the generated shop: nobody advertised them, they come of habit.

In each category a user has turns of 140 days. When one begins, the user may try a staple; after
each order the user either stays with it and orders it again after a gap, or drops it until the next
turn. Gaps follow the pair's own pace, and each is a pure function of the turn and its number, so
the orders of a turn are their running sums: no day before has to be made.

An order tells all there is to know of a habit, nothing is decided before it shows. So how probable
another one is depends on the days since the last alone, given pace and inclination; see
`shop_truth`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from feature_store.sources.draws import effect, logistic, pick, uniform, with_columns
from feature_store.sources.shop_settings import CATEGORIES, Shop, count, count_by, listed
from feature_store.sources.shop_sides import age, signup

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TURN_DAYS = 140
LEAST_GAP = 7
"""Days between two orders of a habit, at least."""
_SHAPE = 2.5
"""How regular gaps are: of a Weibull law, whose hazard grows with the days if this is above 1."""


def turn_age(shop: Shop, day: str) -> str:
    """Return how many days the turn of `_user` and `_category` that holds a day has lasted."""
    calendar = pick(uniform(shop, "calendar", "_user", "_category"), TURN_DAYS)
    return f"(({day} + {calendar}) % {TURN_DAYS})"


def tries(shop: Shop) -> str:
    """Return the probability that `_user` tries a staple when a turn begins."""
    return f"(0.25D + 0.7D * {uniform(shop, 'curious', '_user')})"


def habit(shop: Shop) -> Mapping[str, str]:
    """Return the staple of the turn of `_user` and `_category` that begins on `_start`, or null."""
    turn = ("_user", "_category", "_start")
    tried = f"_start > {signup(shop)} AND {uniform(shop, 'tries', *turn)} < {tries(shop)}"
    place = f"floor({_choices(shop, '_start')} * power({uniform(shop, 'choice', *turn)}, 2D))"
    return {"_habit": f"if({tried}, 2 * ({place} * {CATEGORIES} + _category), NULL)"}


def choice_share(shop: Shop, start: str) -> str:
    """Return the probability that what is tried on a day is `_item`, if anything is."""
    place, choices = f"(_item div {2 * CATEGORIES})", _choices(shop, start)
    above, below = f"sqrt(({place} + 1) / {choices})", f"sqrt({place} / {choices})"
    return f"if({place} < {choices}, {above} - {below}, 0D)"


def rhythm(shop: Shop) -> list[Mapping[str, str]]:
    """Return the steps that add to a turn what makes its orders, and these, in days since it began.

    `_pace` is about the days between two orders beyond the least, `_keeps` the probability that
    another one follows.
    """

    def of(name: str, deviation: float, *fields: str) -> str:
        return effect(shop, deviation, f"{name} " + " x ".join(fields), *fields)

    def at(salt: str) -> str:
        return uniform(shop, salt, "_user", "_category", "_start", "m")

    pace = [
        of("pace", 0.25, "_user"),
        of("pace", 0.25, "_habit"),
        of("pace", 0.40, "_band", "_category"),
        of("pace", 0.10, "_user", "_habit"),
    ]
    keeps = [
        of("keeps", 0.50, "_user"),
        of("keeps", 0.30, "_habit"),
        of("keeps", 0.70, "_band", "_category"),
    ]
    beyond = f"cast(floor(_pace * power(-ln({at('gap')}), {1 / _SHAPE!r}D)) AS int)"
    # Whoever drops it orders it again after the turn's end, which is never.
    gap = f"if({at('keeps')} < _keeps, {LEAST_GAP} + {beyond}, {TURN_DAYS})"
    return [
        {"_band": f"{age(shop)} div 12"},
        {
            "_pace": f"exp({' + '.join(['2.5D', *pace])})",
            "_keeps": logistic("1.8D", *keeps),
        },
        {
            "_orders": f"filter(aggregate(sequence(1, {TURN_DAYS // LEAST_GAP}), array(0),"
            f" (sums, m) -> concat(sums, array(element_at(sums, -1) + {gap}))),"
            f" n -> n < {TURN_DAYS})"
        },
    ]


def survival(days: str) -> str:
    """Return the probability that no order follows within so many days after a habit's last one."""
    # A gap is longer than t days if what it has beyond the least is t + 1 - least or more.
    beyond = f"greatest({days} + {1 - LEAST_GAP}, 0)"
    return f"(1D - _keeps + _keeps * exp(-power({beyond} / _pace, {_SHAPE!r}D)))"


def orders_of_habits(spark: SparkSession, shop: Shop, days: Sequence[date]) -> DataFrame:
    """Return `_user`, `_item` and `_day` of the orders of `days` that come of habit.

    `_tried` says whether one is the first of its turn.
    """
    first, last = listed([min(days)]), listed([max(days)])
    starts = f"sequence({first} - {turn_age(shop, first)}, {last}, {TURN_DAYS})"
    turns_df = (
        spark.range(count_by(shop, "_user", max(days)))
        .selectExpr("id AS _user", f"explode(sequence(0, {CATEGORIES - 1})) AS _category")
        .selectExpr("*", f"explode({starts}) AS _start")
    )
    return (
        with_columns(with_columns(turns_df, habit(shop)).where("_habit IS NOT NULL"), *rhythm(shop))
        .selectExpr("_user", "_habit AS _item", "_start", "explode_outer(_orders) AS _n")
        .selectExpr("_user", "_item", "_start + _n AS _day", "_n = 0 AS _tried")
        .where(f"_day IN ({listed(days)})")
    )


def _choices(shop: Shop, start: str) -> str:
    """Return how many staples of `_category` there are when a turn begins."""
    staples = f"({count(shop, '_item', f'({start} - 1)')} + 1) div 2"
    return f"(({staples} - 1 - _category) div {CATEGORIES} + 1)"
