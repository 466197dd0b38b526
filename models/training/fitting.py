"""What is fitted before the first step: the vocabulary and the scale of numeric features."""

from __future__ import annotations

from collections.abc import Iterable
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


class Fitted:
    """The vocabulary, and mean and deviation (N,) float32, of the training rows."""

    def __init__(self, vocabulary: Vocabulary, mean: Array, std: Array) -> None:
        self.vocabulary, self.mean, self.std = vocabulary, mean, std

    def apply_scale(self, ranker: Ranker) -> None:
        """Set the scale of a model's numeric features."""
        with torch.no_grad():
            ranker.dense.numeric.mean.copy_(torch.from_numpy(self.mean))
            ranker.dense.numeric.std.copy_(torch.from_numpy(self.std))


def fit(parts: Iterable[Rows], signature: Signature, min_count: int, group: Group) -> Fitted:
    """Return what the leader fitted on all training rows; only the leader reads `parts`."""
    arrays = _fit_alone(parts, signature, min_count) if group.leads else None
    dtypes = [np.int64] * len(signature.categorical) + [np.float32] * 2
    *known, mean, std = group.share_arrays(arrays, dtypes)
    return Fitted(build(signature.categorical, known), mean, std)


def _fit_alone(parts: Iterable[Rows], signature: Signature, min_count: int) -> list[Array]:
    counts, moments = KeyCounts(signature.categorical), Moments(len(signature.numeric))
    for part in parts:
        counts.update(part.keys)
        moments.update(part.values)
    return [*(known_keys(k, c, min_count) for k, c in counts.settle()), *moments.fit()]
