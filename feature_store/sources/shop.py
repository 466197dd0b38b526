"""A shop, generated: what it showed, what was clicked and ordered, by whom, and of what.

Five tables that belong together, of any size and with a known truth: each row is a pure function of
the settings, its day and its numbers, written in Spark's own functions, so that any day is made by
itself and in parallel. Segments take to categories, hours to devices and incomes to prices, in ways
that no single column shows; habits have a pace of their own. `shop_truth` says how probable each
label is, and what no model can beat; no probability is among what is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, ClassVar, Literal

from feature_store.errors import SourceDayMissing
from feature_store.sources.shop_ads import click_rows, impression_rows
from feature_store.sources.shop_orders import order_rows
from feature_store.sources.shop_settings import FIRST_DAY, Shop
from feature_store.sources.shop_sides import item_rows, user_rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FORMAT = "1"
"""Raised when rows are generated differently; part of every fingerprint."""
Table = Literal["impressions", "clicks", "orders", "users", "items"]
_ROWS: Mapping[Table, Callable[[SparkSession, Shop, Sequence[date]], DataFrame]] = {
    "impressions": impression_rows,
    "clicks": click_rows,
    "orders": order_rows,
    "users": user_rows,
    "items": item_rows,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ShopTable:
    """One table of a shop. A day of it holds all that is ever told of the day.

    - `impressions`: a row per ad shown, planned the evening before, or late on the day.
    - `clicks`: a row per impression that was clicked; one without a row was not.
    - `orders`: a row per order, and a second where it is corrected or cancelled. `channel` tells
      finds that were ordered after a click (`ad`) from staples (`direct`).
    - `users`, `items`: a row per user who signed up, or item that was launched, on the day, or that
      is told again: a user is every 28 days, an item every 14. The first day has all, so the last
      row of each is never older than that.
    """

    revision: ClassVar[int] = 1

    table: Table
    shop: Shop = field(default_factory=Shop)

    def fingerprint(self, day: date) -> str:
        """Return a digest of the shop's settings, the table and the day.

        Raises:
            SourceDayMissing: the day is before the log begins.
        """
        _require([day])
        text = json.dumps([FORMAT, asdict(self), day.isoformat()])
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`, typed.

        Raises:
            SourceDayMissing: a day is before the log begins.
        """
        _require(days)
        return _ROWS[self.table](spark, self.shop, days)


def _require(days: Sequence[date]) -> None:
    for day in days:
        if day < FIRST_DAY:
            why = f"the log begins on {FIRST_DAY}"
            raise SourceDayMissing("shop", day, why, "Ask for a later day.")
