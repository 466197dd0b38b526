"""A hash of what columns hold: what tells rows of equal times apart, the same way every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from pyspark.sql import Column


def content_hash(names: Sequence[str], salt: int = 0) -> Column:
    """Return 64 bits over the values of columns; another salt gives 64 others."""
    # xxhash64 passes over a null: without the flags (null, 1) and (1, null) would be the same.
    parts = [part for name in names for part in (F.col(name), F.col(name).isNull())]
    return F.xxhash64(F.lit(salt), *parts)
