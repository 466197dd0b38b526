"""How good a bundle is on the held-out rows of a frozen set: overall, and by segment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feature_store.errors import NightscoreError
from models import metrics

if TYPE_CHECKING:
    from jobs.training.held_out import HeldOutRows, Segment
    from models.scoring.bundle import Bundle

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A number with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} (95 % interval {self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentScore:
    """How good the scores are among the rows where `feature` is `value`."""

    feature: str
    value: str
    rows: int
    auc: float
    """NaN where the segment has one class only."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Evaluation:
    """How good scores are; it keeps them, so that two models can be compared row by row."""

    rows: int
    base_rate: float
    auc: Interval
    logloss: float
    baseline_logloss: float
    """Logloss of always predicting the base rate of the training rows."""
    ece: float
    segments: tuple[SegmentScore, ...]
    """By feature and falling rows; segments of fewer rows than asked for are left out."""
    labels: Floats = field(repr=False)
    scores: Floats = field(repr=False)
    segment_values: Mapping[str, Segment] = field(repr=False)

    def metrics(self) -> dict[str, float]:
        """Return the numbers worth a column in a list of models."""
        return {
            "rows": float(self.rows),
            "base_rate": self.base_rate,
            "auc": self.auc.value,
            "auc_low": self.auc.low,
            "auc_high": self.auc.high,
            "logloss": self.logloss,
            "baseline_logloss": self.baseline_logloss,
            "ece": self.ece,
        }


def evaluate_bundle(bundle: Bundle, held_out: HeldOutRows, min_segment_rows: int) -> Evaluation:
    """Return how good a loaded bundle is on these rows, scored by the code that scores at night.

    Of a row only its label and score are held, and a number per segment feature.

    Raises:
        InputInvalid: the rows are not what the bundle's signature takes.
        NightscoreError: the rows came in another order than their segments.
    """
    from models.scoring.predict import Predictor

    predictor, told, done = Predictor(bundle), hashlib.sha256(), 0
    labels = np.empty(held_out.files.rows, np.float32)
    scores = np.empty(held_out.files.rows, np.float32)
    for rows in held_out.parts():
        part = slice(done, done + len(rows.labels))
        labels[part] = rows.labels[:, 0]
        scores[part] = predictor.predict(rows.keys, rows.values)
        told.update(labels[part].tobytes())
        done = part.stop
    if held_out.labels_digest not in ("", told.hexdigest()):
        raise NightscoreError(
            f"evaluation rows from {held_out.files.files[0]} on were read in two orders; segments "
            "cannot be told apart. Run the training again"
        )
    return evaluate(
        labels,
        scores,
        base_rate=held_out.base_rate,
        segments=held_out.segments,
        min_segment_rows=min_segment_rows,
    )


def evaluate(
    labels: Floats,
    scores: Floats,
    *,
    base_rate: float,
    segments: Mapping[str, Segment] | None = None,
    min_segment_rows: int = 1,
) -> Evaluation:
    """Return how good `scores` (n,) are for `labels` (n,).

    Args:
        labels: 0 or 1.
        scores: probabilities.
        base_rate: the share of positives among the training rows, for the baseline.
        segments: by feature, the readable value of each row (n,).
        min_segment_rows: smaller segments are left out.
    """
    value, low, high = metrics.auc_confidence(labels, scores)
    by_feature = segments or {}
    return Evaluation(
        rows=len(labels),
        base_rate=float(np.mean(labels, dtype=np.float64)),
        auc=Interval(value=value, low=low, high=high),
        logloss=metrics.logloss(labels, scores),
        baseline_logloss=metrics.logloss(labels, np.full(len(labels), base_rate)),
        ece=metrics.ece(labels, scores),
        segments=tuple(
            SegmentScore(
                feature=feature,
                value=value,
                rows=int(mask.sum()),
                auc=metrics.auc(labels[mask], scores[mask]),
            )
            for feature, value, mask in segment_masks(by_feature, min_segment_rows)
        ),
        labels=labels,
        scores=scores,
        segment_values=by_feature,
    )


def segment_masks(
    segments: Mapping[str, Segment], min_rows: int
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield (feature, value, rows (n,) where it has it) of segments of `min_rows` and more."""
    for feature, segment in segments.items():
        for word, mask in segment.masks(min_rows):
            yield feature, word, mask
