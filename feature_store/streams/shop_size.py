"""The size of the generated shop, one for all of its streams.

`NIGHTSCORE_SHOP_SCALE` multiplies users and what they do (1: 2,000 users and 5,000 ads a day);
items grow with its square root. It is part of the sources, so another value is another data set.
"""

from __future__ import annotations

import math
import os

from feature_store.errors import DefinitionError
from feature_store.sources.shop_settings import Shop

SCALE_VARIABLE = "NIGHTSCORE_SHOP_SCALE"
_RANGE = (0.01, 10_000.0)


def shop_of(text: str | None) -> Shop:
    """Return the shop of the scale that the environment asks for, 1 by default.

    Raises:
        DefinitionError: the text is no number in 0.01..10000.
    """
    low, high = _RANGE
    try:
        scale = 1.0 if text is None else float(text)
    except ValueError:
        scale = math.nan
    if not low <= scale <= high:
        rule = f"must be a number in {low}..{high:.0f}"
        raise DefinitionError("shop", SCALE_VARIABLE, text, rule)
    shop, root = Shop(), math.sqrt(scale)
    return Shop(
        users=math.ceil(shop.users * scale),
        new_users_per_day=math.ceil(shop.new_users_per_day * scale),
        impressions_per_day=math.ceil(shop.impressions_per_day * scale),
        items=math.ceil(shop.items * root),
        new_items_per_day=math.ceil(shop.new_items_per_day * root),
    )


SHOP = shop_of(os.environ.get(SCALE_VARIABLE))
