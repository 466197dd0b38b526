"""Whether float32 can tell the values of a numeric feature apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from feature_store.definition import Numeric
from feature_store.errors import NightscoreError
from feature_store.features.encode import numeric_doubles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from feature_store.definition import Definition

_STEP = 2.0**-23
"""Between two neighbouring floats, as a share of their size."""
_COARSEST = 1 / 500
"""Largest step, as a share of a feature's standard deviation, that is still a fine one."""


def refuse_coarse(features_df: DataFrame, definition: Definition) -> None:
    """Do nothing if each numeric feature varies by far more than the steps that float32 has there.

    Raises:
        NightscoreError: one does not; the message says how large the steps are, and what to do.
    """
    columns = numeric_doubles(definition)
    names = [feature.name for feature in definition.features if isinstance(feature, Numeric)]
    if not names:
        return
    found = features_df.agg(
        *(F.max(F.abs(columns[name])).alias(f"most_{name}") for name in names),
        *(F.stddev_pop(columns[name]).alias(f"spread_{name}") for name in names),
        *(F.min(columns[name]).alias(f"least_{name}") for name in names),
        *(F.max(columns[name]).alias(f"largest_{name}") for name in names),
    ).collect()[0]
    for name in names:
        most, spread = found[f"most_{name}"], found[f"spread_{name}"]
        # One value alone, or none, has no neighbour to melt with.
        is_one = found[f"least_{name}"] == found[f"largest_{name}"]
        if spread and not is_one and most * _STEP > spread * _COARSEST:
            raise NightscoreError(
                f"{definition.name}: features.{name}: its values reach {most:.10g} and vary by "
                f"{spread:.3g} (standard deviation), but float32, which models take, has steps of "
                f"{most * _STEP:.3g} there: different values would become one. Subtract what they "
                f"have in common: Numeric(name={name!r}, ..., offset={found[f'least_{name}']!r})"
            )
