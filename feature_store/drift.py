"""How far a day's features are from the days before: the population stability index per feature.

PSI below 0.1 is commonly read as no change and above 0.25 as a change to look at; but a small day
differs from any reference by chance, and `Drift.by_chance` says by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from pyspark.sql import Column, DataFrame

    from feature_store.definition import Definition

NUMERIC_BINS = 10
TOP_CATEGORIES = 20
NULL, REST = "null", "rest"
_SMOOTHING = 0.5

Counts = Mapping[str, Mapping[str, int]]
"""Feature -> bin -> rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """The distance of one feature's day from its reference."""

    feature: str
    psi: float
    by_chance: float
    """What PSI is on average when nothing changed, given the numbers of rows and bins."""
    rows: int
    reference_rows: int


def psi(reference: ArrayLike, day: ArrayLike) -> float:
    """Return the population stability index of two histograms over the same bins.

    Half a row is added to every bin, so that an empty one gives a finite figure.
    """
    import numpy as np

    p, q = _shares(reference), _shares(day)
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(reference_rows: int, day_rows: int, bins: int) -> float:
    """Return the mean PSI of two samples of the same distribution: (bins - 1)(1/n + 1/m)."""
    if not reference_rows or not day_rows:
        return 0.0
    return (bins - 1) * (1 / reference_rows + 1 / day_rows)


def feature_drift(
    day_df: DataFrame, reference_df: DataFrame, definition: Definition
) -> list[Drift]:
    """Return the drift of every feature of a day against the days before, largest first.

    Numbers are cut at the reference's quantiles; categories are its most frequent, and the rest.
    Null is a bin of its own. Three passes over the reference, one over the day.
    """
    bins = reference_bins(reference_df, definition)
    before, now = histograms(reference_df, bins), histograms(day_df, bins)
    drifts = [_drift(name, before.get(name, {}), now.get(name, {})) for name in bins]
    return sorted(drifts, key=lambda drift: (-drift.psi, drift.feature))


def reference_bins(reference_df: DataFrame, definition: Definition) -> dict[str, Column]:
    """Return per feature the expression of its bin's name, laid by the reference."""
    numeric, categorical = definition.numeric_names(), definition.categorical_names()
    shares = [n / NUMERIC_BINS for n in range(1, NUMERIC_BINS)]
    finite = reference_df.select(*[_finite(name).alias(name) for name in numeric])
    edges = finite.approxQuantile(list(numeric), shares, 0.005) if numeric else []
    bins = {name: _numeric_bin(name, cuts) for name, cuts in zip(numeric, edges, strict=True)}
    top = _top_categories(reference_df, categorical)
    return {**bins, **{name: _category_bin(name, top.get(name, [])) for name in categorical}}


def histograms(df: DataFrame, bins: Mapping[str, Column]) -> Counts:
    """Return the rows per feature and bin, in one Spark job."""
    pairs = [F.struct(F.lit(n).alias("feature"), b.alias("bin")) for n, b in bins.items()]
    if not pairs:
        return {}
    counted = df.select(F.explode(F.array(*pairs)).alias("p")).groupBy("p.feature", "p.bin").count()
    found: dict[str, dict[str, int]] = {}
    for feature, name, rows in counted.collect():
        found.setdefault(feature, {})[name] = rows
    return found


def score_histogram(df: DataFrame, bins: int = 20) -> list[int]:
    """Return how many scores lie in each of `bins` equal parts of 0..1; 1 is in the last."""
    place = F.least(F.floor(F.col("score") * bins), F.lit(bins - 1)).cast("int")
    scores = df.where(F.col("score").between(0.0, 1.0))
    counted = scores.groupBy(place.alias("bin")).count().collect()
    counts: dict[int, int] = {number: rows for number, rows in counted}
    return [counts.get(number, 0) for number in range(bins)]


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    import numpy as np

    smooth = np.asarray(counts, dtype=np.float64) + _SMOOTHING
    shares: NDArray[np.float64] = smooth / smooth.sum()
    return shares


def _drift(feature: str, before: Mapping[str, int], now: Mapping[str, int]) -> Drift:
    names = sorted({*before, *now})
    reference, day = [before.get(n, 0) for n in names], [now.get(n, 0) for n in names]
    return Drift(
        feature=feature,
        psi=psi(reference, day) if names else 0.0,
        by_chance=psi_by_chance(sum(reference), sum(day), len(names)),
        rows=sum(day),
        reference_rows=sum(reference),
    )


def _finite(name: str) -> Column:
    value = F.col(name).cast("double")
    return F.when(F.abs(value) < F.lit(float("inf")), value)


def _numeric_bin(name: str, edges: Sequence[float]) -> Column:
    value = _finite(name)
    cuts = sorted(set(edges))
    place = sum([(value > F.lit(cut)).cast("int") for cut in cuts], F.lit(0))
    return F.when(value.isNull(), NULL).otherwise(place.cast("string"))


def _category_bin(name: str, top: Sequence[str]) -> Column:
    value = F.col(name).cast("string")
    # Marked, so that a category called "null" or "rest" is not taken for the bin.
    kept = F.when(value.isin(list(top)), F.concat(F.lit("="), value)) if top else F.lit(None)
    return F.when(value.isNull(), NULL).otherwise(F.coalesce(kept, F.lit(REST)))


def _top_categories(df: DataFrame, names: Sequence[str]) -> dict[str, list[Any]]:
    from pyspark.sql import Window

    pairs = [F.struct(F.lit(n).alias("f"), F.col(n).cast("string").alias("v")) for n in names]
    if not pairs:
        return {}
    counted = df.select(F.explode(F.array(*pairs)).alias("p")).groupBy("p.f", "p.v").count()
    order = Window.partitionBy("f").orderBy(F.desc("count"), "v")
    ranked = counted.where("v IS NOT NULL").withColumn("rank", F.row_number().over(order))
    top: dict[str, list[Any]] = {}
    for feature, value in ranked.where(F.col("rank") <= TOP_CATEGORIES).select("f", "v").collect():
        top.setdefault(feature, []).append(value)
    return top
