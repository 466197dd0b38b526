"""How good a bundle is on the held-out rows of a frozen set, by label: overall, and by segment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from feature_store.errors import NightscoreError
from jobs.training.held_out import label_bytes
from models import metrics
from models.ranking import Ranking, ranking

if TYPE_CHECKING:
    from feature_store.definition import Gate
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
    """How good scores of a label are; it keeps them, so that models can be compared row by row."""

    rows: int
    """Those that have the label."""
    base_rate: float
    auc: Interval
    logloss: float
    baseline_logloss: float
    """Logloss of always predicting the base rate of the training rows (of the whole, where
    negatives were left out)."""
    ece: float
    ranking: Ranking | None
    """Of the order within each entity, where the definition names what the entities are."""
    segments: tuple[SegmentScore, ...]
    """By feature and falling rows; segments of fewer rows than asked for are left out."""
    labels: Floats = field(repr=False)
    scores: Floats = field(repr=False)
    segment_values: Mapping[str, Segment] = field(repr=False)

    def metrics(self) -> dict[str, float]:
        """Return the numbers worth a column in a list of models."""
        found = self.ranking
        within = {} if found is None else {
            "auc_within": found.auc,
            f"ndcg_at_{found.k}": found.ndcg,
            f"recall_at_{found.k}": found.recall,
        }  # fmt: skip
        return {
            "rows": float(self.rows),
            "base_rate": self.base_rate,
            "auc": self.auc.value,
            "auc_low": self.auc.low,
            "auc_high": self.auc.high,
            "logloss": self.logloss,
            "baseline_logloss": self.baseline_logloss,
            "ece": self.ece,
            **within,
        }


Evaluations = Mapping[str, Evaluation]
"""By label, in the order of a model's logits."""


def evaluate_bundle(bundle: Bundle, held_out: HeldOutRows, gate: Gate) -> dict[str, Evaluation]:
    """Return how good a loaded bundle is on these rows, scored by the code that scores at night.

    Each label is measured on the rows that have it. Of a row only its labels and scores are held,
    and a number for its entity and each segment.

    Raises:
        InputInvalid: the rows are not what the bundle's signature takes.
        NightscoreError: the rows came in another order than their segments.
    """
    from models.scoring.predict import Predictor

    predictor, told, done = Predictor(bundle), hashlib.sha256(), 0
    names = bundle.signature.labels
    labels = np.empty((held_out.files.rows, len(names)), np.float32)
    scores = np.empty_like(labels)
    entities = np.empty(held_out.files.rows, np.int64) if gate.rank_within else None
    for rows in held_out.parts():
        part = slice(done, done + len(rows.labels))
        labels[part] = rows.labels
        scores[part] = predictor.predict_all(rows.keys, rows.values)
        if entities is not None:
            place = bundle.signature.categorical.index(gate.rank_within)
            entities[part] = rows.keys[:, place]
        told.update(label_bytes(rows.labels))
        done = part.stop
    if held_out.labels_digest not in ("", told.hexdigest()):
        raise NightscoreError(
            f"evaluation rows from {held_out.files.files[0]} on were read in two orders; segments "
            "cannot be told apart. Run the training again"
        )
    found = {}
    for place, name in enumerate(names):
        has_label = ~np.isnan(labels[:, place])
        found[name] = evaluate(
            labels[has_label, place],
            scores[has_label, place],
            base_rate=held_out.base_rates[place],
            segments={s: values.of_rows(has_label) for s, values in held_out.segments.items()},
            min_segment_rows=gate.min_segment_rows,
            entities=None if entities is None else entities[has_label],
            rank_k=gate.rank_k,
        )
    return found


def evaluate(
    labels: Floats,
    scores: Floats,
    *,
    base_rate: float,
    segments: Mapping[str, Segment] | None = None,
    min_segment_rows: int = 1,
    entities: NDArray[np.int64] | None = None,
    rank_k: int = 10,
) -> Evaluation:
    """Return how good `scores` (n,) are for `labels` (n,).

    Args:
        labels: 0 or 1.
        scores: probabilities.
        base_rate: the share of positives among the training rows, for the baseline.
        segments: by feature, the readable value of each row (n,).
        min_segment_rows: smaller segments are left out.
        entities: the key (n,) of the entity within which the order of a row is measured.
        rank_k: rows from the top that are looked at there.
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
        ranking=None if entities is None else ranking(labels, scores, entities, rank_k),
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
