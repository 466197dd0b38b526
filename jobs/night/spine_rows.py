"""How many rows a day will have whose spine the days before tell, before any is made."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING

from feature_store.features.spines import entities
from jobs.night.build_features import tiles_before
from jobs.night.build_tiles import tiled_days

if TYPE_CHECKING:
    from jobs.context import Context


def spine_rows(context: Context, day: date) -> int | None:
    """Return the rows that a day's spine has, of a product before its `where`; None if untold.

    It is untold where rows are delivered, and where a day of the window has no tiles yet.
    """
    definition = context.definition
    if definition.stream is not None or not _is_told(context, day):
        return None
    tiles = tiles_before(context, [day])
    if tiles is None:
        return None
    sides = definition.spine.sides
    return math.prod(entities(tiles, side, definition, [day]).count() for side in sides)


def _is_told(context: Context, day: date) -> bool:
    definition = context.definition
    return all(
        set(definition.window_days(day, side.stream))
        <= tiled_days(context, definition.tiling(side))
        for side in definition.spine.sides
    )
