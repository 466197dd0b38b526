"""The rows of the click generator as Spark SQL text; see `clicks`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DEVICES = ("phone", "tablet", "desktop", "tv")
_SEGMENTS, _CATEGORIES, _SLOTS = 12, 24, 6
_PRIVATE = ("_p", "_late", "_day", "_row", "_own")
_ROW = ("_own",)
_TURN = f"{2 * math.pi!r}D"

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


class Settings(Protocol):
    """What of a generator its rows depend on."""

    @property
    def seed(self) -> int: ...  # noqa: D102
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
    rows = _row_numbers(spark, clicks, days, copies)
    for step in (_who_and_what, _user, _item, _context, _page, _probability, _outcome):
        rows = rows.selectExpr("*", *[f"{sql} AS `{name}`" for name, sql in step(clicks).items()])
    return rows


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
    original = f"pmod(xxhash64({_salt(clicks, 'copy')}, _day, place), {rows}L)"
    return (
        spark.range(per_day * len(days))
        .selectExpr(
            f"element_at(array({listed}), cast(id div {per_day} AS int) + 1) AS ds",
            f"id % {per_day} AS place",
        )
        .selectExpr("ds", "unix_date(ds) AS _day", "place")
        .selectExpr("ds", "_day", f"if(place < {rows}, place, {original}) AS _row")
        .selectExpr("*", f"xxhash64({_salt(clicks, 'row')}, _day, _row) AS _own")
    )


def _salt(clicks: Settings, name: str) -> str:
    """Return a 63-bit literal for the seed and a name: hashing a number is less code than a text.

    Whatever grows a generated Java method past 8000 bytes is never compiled to machine code.
    """
    digest = hashlib.sha256(f"{clicks.seed} {name}".encode()).digest()
    return f"{int.from_bytes(digest[:8]) >> 1}L"


def _uniform(clicks: Settings, salt: str, *fields: str) -> str:
    """Return a number in (0, 1) that depends on the seed, the salt and `fields` alone."""
    parts = ", ".join([_salt(clicks, salt), *fields])
    return f"(((xxhash64({parts}) & {2**52 - 1}L) + 0.5D) / {2**52}D)"


def _effect(clicks: Settings, deviation: float, salt: str, *fields: str) -> str:
    """Return a fixed effect of mean 0 and the given standard deviation."""
    width = math.sqrt(12.0) * deviation
    return f"({width!r}D * ({_uniform(clicks, salt, *fields)} - 0.5D))"


def _zipf(uniform: str, size: int) -> str:
    """Return a rank in 1..size; rank k comes up about in proportion to 1/k."""
    return f"least(floor(power({size + 1}D, {uniform})), {size})"


def _pick(uniform: str, size: int) -> str:
    return f"cast(floor({uniform} * {size}) AS int)"


def _label(prefix: str, number: str) -> str:
    return f"concat('{prefix}', cast({number} AS string))"


def _who_and_what(clicks: Settings) -> Mapping[str, str]:
    slot = f"power({_uniform(clicks, 'slot', *_ROW)}, 1.5D)"
    return {
        "impression": "_row",
        "user": _label("u", _zipf(_uniform(clicks, "user", *_ROW), clicks.users)),
        "item": _label("i", _zipf(_uniform(clicks, "item", *_ROW), clicks.items)),
        "slot": _label("s", _pick(slot, _SLOTS)),
    }


def _user(clicks: Settings) -> Mapping[str, str]:
    def of(salt: str) -> str:
        return _uniform(clicks, salt, "user")

    age = f"cast(floor(16 + 60 * power({of('age')}, 1.4D)) AS int)"
    is_told = f"{_uniform(clicks, 'age missing', *_ROW)} >= 0.08D"
    return {
        "user_segment": _label("g", _pick(of("segment"), _SEGMENTS)),
        "user_country": _label("c", _zipf(of("country"), 30)),
        "user_language": _label("l", _zipf(of("language"), 12)),
        "user_income_band": _label("n", _pick(of("income"), 5)),
        "user_tenure": _label("t", _zipf(of("tenure"), 8)),
        "user_age": f"if({is_told}, {age}, NULL)",
        "user_age_band": f"if({is_told}, {_label('a', f'{age} div 10')}, NULL)",
        "user_visits": f"floor(-40D * ln({of('visits')}) * power({of('active')}, 2D)) * 1D",
        "user_days_away": f"floor(-5D * ln({_uniform(clicks, 'away', *_ROW)})) * 1D",
        "region": _label("r", _pick(of("region"), 200)),
    }


def _item(clicks: Settings) -> Mapping[str, str]:
    def of(salt: str) -> str:
        return _uniform(clicks, salt, "item")

    price = f"round(exp(1D + 4D * {of('price')}), 2)"
    campaign = _pick(of("campaign"), 400)
    quality = _effect(clicks, 1.0, "item quality", "item")
    noise = _effect(clicks, 0.2, "quality noise", *_ROW)
    return {
        "item_category": _label("k", _pick(f"power({of('category')}, 1.3D)", _CATEGORIES)),
        "item_brand": _label("b", _zipf(of("brand"), 300)),
        "campaign": _label("m", campaign),
        "advertiser": _label("v", f"{campaign} div 8"),
        "creative": _label("x", _pick(_uniform(clicks, "creative", *_ROW), 900)),
        "item_format": _label("f", _pick(of("format"), 5)),
        "item_price": price,
        "price_band": _label("p", f"floor(ln({price}))"),
        "item_age_days": f"pmod(_day + {_pick(of('launch'), 365)}, 365) * 1D",
        "item_quality": f"round({quality} + {noise}, 4)",
    }


def _context(clicks: Settings) -> Mapping[str, str]:
    def at(salt: str) -> str:
        return _uniform(clicks, salt, *_ROW)

    # Two bumps a day: the mean of two uniforms falls around noon, the rest in the evening.
    noon = _pick(f"(({at('h1')} + {at('h2')}) / 2)", 24)
    evening = f"(18 + {_pick(at('h3'), 6)})"
    device = _pick(f"power({at('device')}, 1.6D)", len(DEVICES))
    names = ", ".join(f"'{name}'" for name in DEVICES)
    return {
        "hour": f"if({at('noon')} < 0.6D, {noon}, {evening})",
        "weekday": "weekday(ds) + 1",
        "device": f"element_at(array({names}), {device} + 1)",
        "os": _label("o", f"({device} * 2 + {_pick(_uniform(clicks, 'os', 'user'), 2)})"),
        "browser": _label("w", _zipf(_uniform(clicks, "browser", "user"), 9)),
        "connection": _label("e", _pick(at("connection"), 4)),
        "page": _label("h", _zipf(at("page"), 2_000)),
        "referrer": _label("q", _zipf(at("referrer"), 40)),
        "page_depth": f"floor(-3D * ln({at('depth')})) + 1D",
        "bid": f"round(exp({_effect(clicks, 0.7, 'bid', *_ROW)}), 4)",
        "viewability": f"round(sqrt({at('viewability')}), 4)",
    }


def _page(clicks: Settings) -> Mapping[str, str]:
    return {"page_topic": _label("j", _pick(_uniform(clicks, "topic", "page"), 25))}


def _probability(clicks: Settings) -> Mapping[str, str]:
    """Return the true click probability `_p`."""

    def effect(deviation: float, *fields: str) -> str:
        return _effect(clicks, deviation, "effect " + " x ".join(fields), *fields)

    single = [
        effect(0.25, "user"),
        effect(0.30, "item"),
        effect(0.30, "slot"),
        effect(0.20, "item_category"),
        effect(0.15, "advertiser"),
        effect(0.15, "page_topic"),
        "0.35D * item_quality",
        "0.8D * (viewability - 0.67D)",
        "0.3D - 0.25D * log1p(page_depth)",
        "0.12D * log1p(user_visits) - 0.2D",
    ]
    pairs = [
        effect(0.70, "user_segment", "item_category"),
        effect(0.50, "hour", "device"),
        effect(0.40, "user_income_band", "price_band"),
        effect(0.30, "slot", "item_format"),
        effect(0.30, "user_country", "item_brand"),
    ]
    logit = " + ".join(["-1.9D", *single, *pairs, _drift(clicks), _week(clicks)])
    return {"_p": f"1D / (1D + exp(-({logit})))"}


def _drift(clicks: Settings) -> str:
    """Tastes that come and go: each category, and each segment's taste for it, at its own pace."""
    fashion = _uniform(clicks, "fashion", "item_category")
    taste = _uniform(clicks, "taste", "user_segment", "item_category")
    return (
        f"0.25D * sin({_TURN} * (_day / 120D + {fashion}))"
        f" + 0.35D * sin({_TURN} * (_day / 75D + {taste}))"
    )


def _week(clicks: Settings) -> str:
    return f"if(weekday >= 6, 0.2D + {_effect(clicks, 0.3, 'weekend', 'item_category')}, 0D)"


def _outcome(clicks: Settings) -> Mapping[str, str]:
    """Return the times, the click, and when each became known."""

    def at(salt: str) -> str:
        return _uniform(clicks, salt, *_ROW)

    def instant(seconds: str) -> str:
        return f"timestamp_seconds(_day * 86400L + cast(floor({seconds}) AS bigint))"

    late = f"{at('late')} < {clicks.late_share!r}D"
    planned = f"if({late}, 3600 + 7200 * {at('planned')}, -3600 * (2 + 4 * {at('planned')}))"
    shown = f"(hour * 3600 + 3599 * {at('second')})"
    is_slow = f"{at('late report')} < {clicks.late_share!r}D"
    delay = f"if({is_slow}, 86400 * (1 + 2 * {at('delay')}), 1800D)"
    return {
        "_late": late,
        "planned_at": instant(planned),
        "shown_at": instant(shown),
        "clicked": f"{at('click')} < _p",
        "click_known_at": instant(f"{shown} + {delay}"),
    }
