"""How good the published scores of a night turned out to be, once labels are known: pure numbers.

Legend: n rows that have the label, y labels (n,) in {0, 1}, p scores (n,).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from math import isnan, log
from typing import TYPE_CHECKING, Any

import numpy as np

from models import metrics, reliability
from models.reliability import Bin, Miscalibration, excess_beyond_doubt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Z = 3.09
"""Standard deviations beyond which something is said to be beyond doubt: one night in a thousand by
chance."""

MIN_OF_EITHER_CLASS = 10
"""Positives, and negatives, below which DeLong's interval of an AUC is too narrow by far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Segments:
    """Which values of a column are told apart; the others are left out."""

    min_rows: int
    """Those of fewer rows are left out."""
    most: int
    """And of these only so many, the largest."""


LARGER = Segments(min_rows=30, most=12)
"""Those that a page shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good some scores are, each number with what it takes to judge it."""

    rows: int
    base_rate: float
    mean_score: float
    auc: float
    """NaN where all labels are the same."""
    auc_low: float
    auc_high: float
    logloss: float
    base_logloss: float
    """Logloss of always saying these rows' own base rate."""
    excess: float
    """Logloss less that; above 0 the scores are worse than knowing nothing of a row."""
    excess_deviation: float
    ece: float
    ece_chance: float
    """What the calibration error would be by chance, on average."""
    ece_deviation: float
    gap: float
    """Mean score less share of positives."""
    gap_chance: float
    gap_deviation: float

    @property
    def skill(self) -> float:
        """The part of the base rate's logloss that the scores save; below 0 they lose by it."""
        return -self.excess / self.base_logloss if self.base_logloss > 0 else float("nan")

    def excess_beyond_doubt(self, z: float = Z) -> float:
        """Return by how much logloss is worse than the base rate's, less what chance makes."""
        return excess_beyond_doubt(self.excess, self.excess_deviation, self.rows, z)

    @property
    def ece_beyond_doubt(self) -> float:
        """The calibration error that chance does not account for; 0 where it does for all."""
        binned = Miscalibration(
            error=self.ece, chance=self.ece_chance, deviation=self.ece_deviation, rows=self.rows
        )
        of_means = Miscalibration(
            error=abs(self.gap),
            chance=self.gap_chance,
            deviation=self.gap_deviation,
            rows=self.rows,
        )
        return max(0.0, binned.beyond_doubt(Z), of_means.beyond_doubt(Z))

    @property
    def has_order(self) -> bool:
        """Whether there are enough rows of both classes for an interval of AUC to mean anything."""
        positives = round(self.base_rate * self.rows)
        return min(positives, self.rows - positives) >= MIN_OF_EITHER_CLASS

    @property
    def auc_at_most(self) -> float:
        """The AUC that the scores have at most, beyond doubt; 1 where nothing can be said."""
        values = (self.auc, self.auc_low, self.auc_high)
        if not self.has_order or any(isnan(value) or not 0 < value < 1 for value in values):
            return 1.0
        center, high = (log(value / (1 - value)) for value in (self.auc, self.auc_high))
        bound = center + (high - center) * Z / metrics.Z_95
        return float(1 / (1 + np.exp(-bound)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """The rows where `column` is `value`."""

    column: str
    value: str
    quality: Quality


@dataclass(frozen=True, kw_only=True, slots=True)
class Realised:
    """How good the scores of one label turned out on one night."""

    quality: Quality
    curve: tuple[Bin, ...] = ()
    segments: tuple[Segment, ...] = ()
    sampled: bool = False
    """Whether of a sample of the rows."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data: a NaN is null."""
        found: dict[str, Any] = without_nan(asdict(self))
        return found

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Realised:
        """Return what `to_dict` told.

        Raises:
            KeyError: a number is missing that this release needs.
        """
        return cls(
            quality=_quality(told["quality"]),
            curve=tuple(Bin(**point) for point in told["curve"]),
            segments=tuple(
                Segment(column=s["column"], value=s["value"], quality=_quality(s["quality"]))
                for s in told["segments"]
            ),
            sampled=bool(told["sampled"]),
        )


def quality_of(y: Floats, p: Floats) -> Quality:
    """Return how good scores are for labels.

    Raises:
        InputInvalid: there is no row, a label is not 0 or 1, or a score is not finite.
    """
    found, excess = metrics.summary(y, p), reliability.excess_logloss(y, p)
    binned, of_means = reliability.miscalibration(y, p), reliability.gap(y, p)
    return Quality(
        **found | {"ece": binned.error},
        mean_score=float(np.mean(p, dtype=np.float64)),
        base_logloss=excess.base_logloss,
        excess=excess.value,
        excess_deviation=excess.deviation if np.isfinite(excess.deviation) else float("nan"),
        ece_chance=binned.chance,
        ece_deviation=binned.deviation,
        gap=float(np.mean(p, dtype=np.float64) - np.mean(y, dtype=np.float64)),
        gap_chance=of_means.chance,
        gap_deviation=of_means.deviation,
    )


def realised(
    y: Floats,
    p: Floats,
    columns: Mapping[str, NDArray[Any]] | None = None,
    *,
    segments: Segments = LARGER,
    sampled: bool = False,
) -> Realised:
    """Return how good scores turned out: of all rows, and of the larger values of some columns.

    Args:
        y: labels.
        p: scores.
        columns: by name, the readable value of each row (n,); None is one of its own.
        segments: which of their values.
        sampled: whether these are a sample of the rows.
    """
    return Realised(
        quality=quality_of(y, p),
        curve=reliability.curve(y, p),
        segments=tuple(
            Segment(column=name, value=value, quality=quality_of(y[rows], p[rows]))
            for name, values in (columns or {}).items()
            for value, rows in segment_rows(values, segments)
        ),
        sampled=sampled,
    )


def segment_rows(
    values: NDArray[Any], segments: Segments
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield (value, where it is (n,)) of the larger values of a column, the largest first."""
    texts = np.array(["(none)" if value is None else str(value) for value in values], dtype=object)
    words, counts = np.unique(texts.astype(str), return_counts=True) if len(texts) else ([], [])
    order = sorted(zip(words, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    for word, count in order[: segments.most]:
        if count >= segments.min_rows:
            yield str(word), texts == word


def _quality(told: Mapping[str, Any]) -> Quality:
    numbers: dict[str, Any] = {
        name: float("nan") if told[name] is None else told[name]
        for name in (one.name for one in fields(Quality))
    }
    return Quality(**numbers)


def without_nan(value: Any) -> Any:
    """Return JSON-ready data with null for each NaN."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and isnan(value) else value
