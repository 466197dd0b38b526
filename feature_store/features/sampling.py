"""Which rows a training learns from: all with a true label, and a share of the others.

Where few rows of many are positive, most of the negatives tell what others told before, and most
can be left out of what is learned from (He et al. 2014, Practical Lessons from Predicting Clicks on
Ads at Facebook, section 6.3). There scores are recalibrated afterwards; here each negative that is
kept counts as 1/share rows, so that what is learned is of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

ROW_WEIGHT = "_weight"
"""Hidden, as a feature may well be called `weight`."""
_SALT = "negative_downsampling"
"""Makes the hash another than that which rows are shuffled by: the rows that are kept would all lie
at one end of that order."""


def sample_negatives(
    rows_df: DataFrame,
    keys: Sequence[str],
    labels: Sequence[str],
    *,
    share: float,
    where: Column,
) -> DataFrame:
    """Return the rows but for most without a true label, and `_weight` (float) of each.

    Which of them are kept is decided by the day and keys of a row alone: the same rows each time,
    and a larger share keeps all that a smaller one does.

    Args:
        rows_df: ds, keys, and labels: 1.0, 0.0, or null where a row has none.
        keys: with ds, what identifies a row.
        labels: the columns of the labels. A row of which any is 1.0 is kept, and weighs 1.
        share: in (0, 1), how much of the other rows is kept; each weighs 1/share.
        where: the rows to sample; all others are kept, and weigh 1.
    """
    is_positive = reduce(or_, (F.coalesce(F.col(label) == 1.0, F.lit(False)) for label in labels))
    is_sampled = where & ~is_positive
    place = F.xxhash64(F.lit(_SALT), DS, *keys)
    weight = F.when(is_sampled, F.lit(1 / share)).otherwise(F.lit(1.0)).cast("float")
    return rows_df.where(~is_sampled | (place < F.lit(_bound(share)))).withColumn(
        ROW_WEIGHT, weight
    )


def _bound(share: float) -> int:
    """Return the number that this share of all 64-bit hashes lies below."""
    return int(Fraction(share) * 2**64) - 2**63
