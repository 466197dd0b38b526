"""The rows of the click generator as Spark SQL text; see `clicks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol

from feature_store.sources.draws import (
    TURN,
    Seeded,
    effect,
    instant,
    label,
    logistic,
    pick,
    salt_number,
    uniform,
    with_columns,
    zipf,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEVICES = ("phone", "tablet", "desktop", "tv")
_SEGMENTS, _CATEGORIES, _SLOTS = 12, 24, 6
_PRIVATE = ("_p", "_late", "_day", "_row", "_own")
_ROW = ("_own",)

CATEGORICAL = (
    "user",
    "item",
    "slot",
    "user_segment",
    "user_age_band",
    "user_country",
    "user_language",
    "user_income_band",
    "user_tenure",
    "device",
    "os",
    "browser",
    "connection",
    "hour",
    "weekday",
    "item_category",
    "item_brand",
    "advertiser",
    "campaign",
    "creative",
    "item_format",
    "price_band",
    "page",
    "page_topic",
    "referrer",
    "region",
)
NUMERIC = (
    "user_age",
    "user_visits",
    "user_days_away",
    "item_price",
    "item_age_days",
    "item_quality",
    "page_depth",
    "bid",
    "viewability",
)


class Settings(Seeded, Protocol):
    """What of a generator its rows depend on."""

    @property
    def rows_per_day(self) -> int: ...  # noqa: D102
    @property
    def users(self) -> int: ...  # noqa: D102
    @property
    def items(self) -> int: ...  # noqa: D102
    @property
    def late_share(self) -> float: ...  # noqa: D102
    @property
    def copy_share(self) -> float: ...  # noqa: D102


def impressions(
    spark: SparkSession, clicks: Settings, days: Sequence[date], *, copies: bool
) -> DataFrame:
    """Return every impression of `days` with its true probability `_p` and `_late`."""
    steps = (_who_and_what, _user, _item, _context, _page, _probability, _outcome)
    return with_columns(
        _row_numbers(spark, clicks, days, copies), *[step(clicks) for step in steps]
    )


def observed(rows_df: DataFrame) -> DataFrame:
    """Return the rows without the generator's own columns."""
    return rows_df.drop(*_PRIVATE).selectExpr("*", "'generated' AS source_file")


def _row_numbers(
    spark: SparkSession, clicks: Settings, days: Sequence[date], copies: bool
) -> DataFrame:
    """Return ds, _day (days since 1970) and _row; a copy repeats the number of another row."""
    rows = clicks.rows_per_day
    per_day = rows + (round(rows * clicks.copy_share) if copies else 0)
    listed = ", ".join(f"DATE'{day.isoformat()}'" for day in days)
    original = f"pmod(xxhash64({salt_number(clicks, 'copy')}, _day, place), {rows}L)"
    return (
        spark.range(per_day * len(days))
        .selectExpr(
            f"element_at(array({listed}), cast(id div {per_day} AS int) + 1) AS ds",
            f"id % {per_day} AS place",
        )
        .selectExpr("ds", "unix_date(ds) AS _day", "place")
        .selectExpr("ds", "_day", f"if(place < {rows}, place, {original}) AS _row")
        .selectExpr("*", f"xxhash64({salt_number(clicks, 'row')}, _day, _row) AS _own")
    )


def _who_and_what(clicks: Settings) -> Mapping[str, str]:
    slot = f"power({uniform(clicks, 'slot', *_ROW)}, 1.5D)"
    return {
        "impression": "_row",
        "user": label("u", zipf(uniform(clicks, "user", *_ROW), clicks.users)),
        "item": label("i", zipf(uniform(clicks, "item", *_ROW), clicks.items)),
        "slot": label("s", pick(slot, _SLOTS)),
    }


def _user(clicks: Settings) -> Mapping[str, str]:
    def of(salt: str) -> str:
        return uniform(clicks, salt, "user")

    age = f"cast(floor(16 + 60 * power({of('age')}, 1.4D)) AS int)"
    is_told = f"{uniform(clicks, 'age missing', *_ROW)} >= 0.08D"
    return {
        "user_segment": label("g", pick(of("segment"), _SEGMENTS)),
        "user_country": label("c", zipf(of("country"), 30)),
        "user_language": label("l", zipf(of("language"), 12)),
        "user_income_band": label("n", pick(of("income"), 5)),
        "user_tenure": label("t", zipf(of("tenure"), 8)),
        "user_age": f"if({is_told}, {age}, NULL)",
        "user_age_band": f"if({is_told}, {label('a', f'{age} div 10')}, NULL)",
        "user_visits": f"floor(-40D * ln({of('visits')}) * power({of('active')}, 2D)) * 1D",
        "user_days_away": f"floor(-5D * ln({uniform(clicks, 'away', *_ROW)})) * 1D",
        "region": label("r", pick(of("region"), 200)),
    }


def _item(clicks: Settings) -> Mapping[str, str]:
    def of(salt: str) -> str:
        return uniform(clicks, salt, "item")

    price = f"round(exp(1D + 4D * {of('price')}), 2)"
    campaign = pick(of("campaign"), 400)
    quality = effect(clicks, 1.0, "item quality", "item")
    noise = effect(clicks, 0.2, "quality noise", *_ROW)
    return {
        "item_category": label("k", pick(f"power({of('category')}, 1.3D)", _CATEGORIES)),
        "item_brand": label("b", zipf(of("brand"), 300)),
        "campaign": label("m", campaign),
        "advertiser": label("v", f"{campaign} div 8"),
        "creative": label("x", pick(uniform(clicks, "creative", *_ROW), 900)),
        "item_format": label("f", pick(of("format"), 5)),
        "item_price": price,
        "price_band": label("p", f"floor(ln({price}))"),
        "item_age_days": f"pmod(_day + {pick(of('launch'), 365)}, 365) * 1D",
        "item_quality": f"round({quality} + {noise}, 4)",
    }


def _context(clicks: Settings) -> Mapping[str, str]:
    def at(salt: str) -> str:
        return uniform(clicks, salt, *_ROW)

    # Two bumps a day: the mean of two uniforms falls around noon, the rest in the evening.
    noon = pick(f"(({at('h1')} + {at('h2')}) / 2)", 24)
    evening = f"(18 + {pick(at('h3'), 6)})"
    device = pick(f"power({at('device')}, 1.6D)", len(DEVICES))
    names = ", ".join(f"'{name}'" for name in DEVICES)
    return {
        "hour": f"if({at('noon')} < 0.6D, {noon}, {evening})",
        "weekday": "weekday(ds) + 1",
        "device": f"element_at(array({names}), {device} + 1)",
        "os": label("o", f"({device} * 2 + {pick(uniform(clicks, 'os', 'user'), 2)})"),
        "browser": label("w", zipf(uniform(clicks, "browser", "user"), 9)),
        "connection": label("e", pick(at("connection"), 4)),
        "page": label("h", zipf(at("page"), 2_000)),
        "referrer": label("q", zipf(at("referrer"), 40)),
        "page_depth": f"floor(-3D * ln({at('depth')})) + 1D",
        "bid": f"round(exp({effect(clicks, 0.7, 'bid', *_ROW)}), 4)",
        "viewability": f"round(sqrt({at('viewability')}), 4)",
    }


def _page(clicks: Settings) -> Mapping[str, str]:
    return {"page_topic": label("j", pick(uniform(clicks, "topic", "page"), 25))}


def _probability(clicks: Settings) -> Mapping[str, str]:
    """Return the true click probability `_p`."""

    def of(deviation: float, *fields: str) -> str:
        return effect(clicks, deviation, "effect " + " x ".join(fields), *fields)

    single = [
        of(0.25, "user"),
        of(0.30, "item"),
        of(0.30, "slot"),
        of(0.20, "item_category"),
        of(0.15, "advertiser"),
        of(0.15, "page_topic"),
        "0.35D * item_quality",
        "0.8D * (viewability - 0.67D)",
        "0.3D - 0.25D * log1p(page_depth)",
        "0.12D * log1p(user_visits) - 0.2D",
    ]
    pairs = [
        of(0.70, "user_segment", "item_category"),
        of(0.50, "hour", "device"),
        of(0.40, "user_income_band", "price_band"),
        of(0.30, "slot", "item_format"),
        of(0.30, "user_country", "item_brand"),
    ]
    return {"_p": logistic("-1.9D", *single, *pairs, _drift(clicks), _week(clicks))}


def _drift(clicks: Settings) -> str:
    """Tastes that come and go: each category, and each segment's taste for it, at its own pace."""
    fashion = uniform(clicks, "fashion", "item_category")
    taste = uniform(clicks, "taste", "user_segment", "item_category")
    return (
        f"0.25D * sin({TURN} * (_day / 120D + {fashion}))"
        f" + 0.35D * sin({TURN} * (_day / 75D + {taste}))"
    )


def _week(clicks: Settings) -> str:
    return f"if(weekday >= 6, 0.2D + {effect(clicks, 0.3, 'weekend', 'item_category')}, 0D)"


def _outcome(clicks: Settings) -> Mapping[str, str]:
    """Return the times, the click, and when each became known."""

    def at(salt: str) -> str:
        return uniform(clicks, salt, *_ROW)

    late = f"{at('late')} < {clicks.late_share!r}D"
    planned = f"if({late}, 3600 + 7200 * {at('planned')}, -3600 * (2 + 4 * {at('planned')}))"
    shown = f"(hour * 3600 + 3599 * {at('second')})"
    is_slow = f"{at('late report')} < {clicks.late_share!r}D"
    delay = f"if({is_slow}, 86400 * (1 + 2 * {at('delay')}), 1800D)"
    return {
        "_late": late,
        "planned_at": instant("_day", planned),
        "shown_at": instant("_day", shown),
        "clicked": f"{at('click')} < _p",
        "click_known_at": instant("_day", f"{shown} + {delay}"),
    }
