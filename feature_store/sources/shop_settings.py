"""What the five sources of the generated shop share: its settings, and how it grows by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from feature_store.definition.common_rules import within

FIRST_DAY = date(2026, 1, 1)
_EPOCH = date(1970, 1, 1)
FIRST = (FIRST_DAY - _EPOCH).days
"""The first day as rows count days, since 1970."""
CATEGORIES = 8
"""Categories of staples, and as many of finds."""
MAX_IMPRESSIONS_PER_DAY = 100_000_000
Numbered = Literal["_user", "_item"]
"""What is numbered, by the column with the number: from 0, in the order in which they come."""
_SHARES = ("late_share", "slow_share", "corrected_share", "cancelled_share")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shop:
    """A shop that advertises and sells: how large it is, how it grows, how late it tells.

    An item of an even number is a staple, which users order again and again by habit and which is
    never advertised; one of an odd number is a find, which is ordered after a click on its ad and
    never otherwise. All rows follow from these settings: two sources of one shop agree.
    """

    seed: int = 7
    users: int = 2_000
    """Users who are there when the log begins."""
    items: int = 400
    """Items that are there when the log begins."""
    new_users_per_day: int = 10
    new_items_per_day: int = 2
    impressions_per_day: int = 5_000
    late_share: float = 0.005
    """Impressions that are planned only after midnight UTC of their day."""
    slow_share: float = 0.03
    """Clicks, and orders, that are told one to three days late."""
    corrected_share: float = 0.04
    """Orders that are told again with another quantity, one to five days after the first time."""
    cancelled_share: float = 0.03
    """Orders, others than those, that are told again as cancelled, up to nine days after it."""

    def __post_init__(self) -> None:
        ranges = {
            "users": (1, 10**9),
            # One staple of each category at least, and as many finds.
            "items": (2 * CATEGORIES, 10**8),
            "new_users_per_day": (0, 10**5),
            "new_items_per_day": (0, 10**5),
            "impressions_per_day": (1, MAX_IMPRESSIONS_PER_DAY),
            **dict.fromkeys(_SHARES, (0.0, 0.5)),
        }
        for name, value, rule in within(self, ranges, "Shop."):
            raise ValueError(f"{name}={value!r}: {rule}")


def growth(shop: Shop, what: Numbered) -> tuple[int, int]:
    """Return how many users or items there are when the log begins, and come on each later day."""
    if what == "_user":
        return shop.users, shop.new_users_per_day
    return shop.items, shop.new_items_per_day


def count(shop: Shop, what: Numbered, day: str) -> str:
    """Return, as SQL, how many users or items there are by the end of a day since 1970."""
    first, per_day = growth(shop, what)
    return f"({first}L + {per_day}L * greatest({day} - {FIRST}, 0))"


def count_by(shop: Shop, what: Numbered, day: date) -> int:
    """Return how many users or items there are by the end of a day."""
    first, per_day = growth(shop, what)
    return first + per_day * max((day - FIRST_DAY).days, 0)


def listed(days: Iterable[date]) -> str:
    """Return the days as a list for SQL, as numbers since 1970."""
    return ", ".join(str((day - _EPOCH).days) for day in days)
