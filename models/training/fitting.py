"""What is fitted before the first step: vocabulary, scale of numeric features, base rates.

Base rates count each row as many times as its weight says, so that a model begins at those of the
whole. Counts of keys, and the scale of numeric features, are of the rows that are read: those are
all that an embedding is learned from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.ranker import Ranker
from models.signature import Signature
from models.training.data import Rows
from models.training.distributed import Group
from models.training.moments import Moments
from models.vocabulary import KeyCounts, Vocabulary, build, known_keys

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Fitted:
    """What the training rows say by themselves."""

    vocabulary: Vocabulary
    mean: Array
    """(N,) float32, of numeric features."""
    std: Array
    """(N,) float32"""
    base_logit: Array
    """(T,) float32, of each label's share of positives, by weight, among the rows that have it."""

    def apply(self, ranker: Ranker) -> None:
        """Set the scale of a model's numeric features, and where its logits begin."""
        with torch.no_grad():
            ranker.dense.numeric.mean.copy_(torch.from_numpy(self.mean))
            ranker.dense.numeric.std.copy_(torch.from_numpy(self.std))
            ranker.dense.shift.copy_(torch.from_numpy(self.base_logit))


def fit(parts: Iterable[Rows], signature: Signature, min_count: int, group: Group) -> Fitted:
    """Return what the leader fitted on all training rows; only the leader reads `parts`."""
    arrays = _fit_alone(parts, signature, min_count) if group.leads else None
    fields = signature.vocabulary_fields
    dtypes = [np.int64] * len(fields) + [np.float32] * 3
    *known, mean, std, base_logit = group.share_arrays(arrays, dtypes)
    vocabulary = build(fields, known)
    return Fitted(vocabulary=vocabulary, mean=mean, std=std, base_logit=base_logit)


def base_logits(positives: Array, rows: Array) -> Array:
    """Return the logit of each label's base rate, (T,) float32; finite for one class, too.

    Args:
        positives: (T,) rows for which each label is true, each as many as its weight says.
        rows: (T,) rows that have it, counted alike.
    """
    odds = (positives + 0.5) / (rows - positives + 0.5)
    return np.log(odds).astype(np.float32)


def _fit_alone(parts: Iterable[Rows], signature: Signature, min_count: int) -> list[Array]:
    numbers = len(signature.numeric)
    counts, moments = KeyCounts(signature.categorical, signature.lists), Moments(numbers)
    positives, rows = np.zeros(len(signature.labels)), np.zeros(len(signature.labels))
    for part in parts:
        counts.update(part.keys)
        moments.update(part.values[:, :numbers])
        weights_BT = np.where(np.isnan(part.labels), 0.0, part.weights[:, None].astype(np.float64))
        positives += (weights_BT * np.nan_to_num(part.labels)).sum(0)
        rows += weights_BT.sum(0)
    known = [known_keys(keys, count, min_count) for keys, count in counts.settle()]
    return [*known, *moments.fit(), base_logits(positives, rows)]
