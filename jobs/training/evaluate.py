"""How good a bundle is on the held-out rows of a frozen set: overall, and by segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store.errors import NightscoreError
from feature_store.schema import LABEL_PREFIX, SEGMENT_PREFIX
from models import metrics
from models.training.data import Rows, TrainingFiles, concatenate, stream

if TYPE_CHECKING:
    from jobs.training.training_set import SplitFiles, TrainingSet
    from models.scoring.bundle import Bundle
    from models.signature import Signature

Floats = NDArray[np.float32]
Words = NDArray[np.object_]


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
class EvalRows:
    """Held-out rows, encoded and labelled, with the readable value of each segment feature."""

    rows: Rows
    segments: Mapping[str, Words]
    base_rate: float
    """The share of positives among the training rows."""


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
    segment_values: Mapping[str, Words] = field(repr=False)

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


def training_files(split: SplitFiles) -> TrainingFiles:
    """Return the files of a split as the trainer takes them, with the rows they must hold."""
    return TrainingFiles(files=split.files, rows=split.rows)


def read_eval_rows(
    frozen: TrainingSet, split: str, signature: Signature, segments: tuple[str, ...] = ()
) -> EvalRows:
    """Return every row of a split, in the order of its files.

    Args:
        frozen: the set.
        split: one of its splits.
        signature: which columns the model takes.
        segments: segment features to read beside them; there are values in `eval` only.
    """
    rows = concatenate(list(stream(training_files(frozen.splits[split]), signature)))
    words = _segment_columns(frozen, split, rows, segments) if segments else {}
    return EvalRows(rows=rows, segments=words, base_rate=frozen.splits["train"].base_rate)


def evaluate_bundle(bundle: Bundle, held_out: EvalRows, min_segment_rows: int) -> Evaluation:
    """Return how good a loaded bundle is on these rows, scored by the code that scores at night.

    Raises:
        InputInvalid: the rows are not what the bundle's signature takes.
    """
    from models.scoring.predict import Predictor

    scores = Predictor(bundle).predict(held_out.rows.keys, held_out.rows.values)
    return evaluate(
        held_out.rows.labels[:, 0],
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
    segments: Mapping[str, Words] | None = None,
    min_segment_rows: int = 1,
) -> Evaluation:
    """Return how good `scores` (n,) are for `labels` (n,).

    Args:
        labels: 0 or 1.
        scores: probabilities.
        base_rate: the share of positives among the training rows, for the baseline.
        segments: per feature, the readable value of each row (n,).
        min_segment_rows: smaller segments are left out.
    """
    value, low, high = metrics.auc_confidence(labels, scores)
    words = segments or {}
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
            for feature, value, mask in segment_masks(words, min_segment_rows)
        ),
        labels=labels,
        scores=scores,
        segment_values=words,
    )


def segment_masks(
    segments: Mapping[str, Words], min_rows: int
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Yield (feature, value, rows (n,) where it has it) of segments of `min_rows` and more."""
    for feature, words in segments.items():
        values, place, counts = np.unique(words, return_inverse=True, return_counts=True)
        for index in np.lexsort((np.arange(len(values)), -counts)):
            if counts[index] >= min_rows:
                yield feature, str(values[index]), place == index


def _segment_columns(
    frozen: TrainingSet, split: str, rows: Rows, segments: tuple[str, ...]
) -> dict[str, Words]:
    """Return the segment columns, row for row beside `rows`."""
    label = f"{LABEL_PREFIX}{frozen.label}"
    names = [f"{SEGMENT_PREFIX}{name}" for name in segments]
    # `stream` reads the files sorted by name, without threads: the same order as here.
    table = pq.read_table(
        sorted(frozen.splits[split].files), columns=[label, *names], partitioning=None
    )
    if not np.array_equal(table[label].to_numpy(), rows.labels[:, 0]):
        raise NightscoreError(
            f"training set {frozen.id}: split {split} was read in two orders; segments cannot be "
            "told apart. Run the training again"
        )
    return {
        name: np.array(["" if v is None else v for v in table[column].to_pylist()], dtype=object)
        for name, column in zip(segments, names, strict=True)
    }
