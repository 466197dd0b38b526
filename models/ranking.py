"""How well scores order the rows of each entity (a user's items, say), in numpy float64.

Rows of equal score stand in no order: a metric is its mean over all orders that they may stand in
(McSherry and Najork 2008, Computing Information Retrieval Performance Measures Efficiently in the
Presence of Tied Scores).

Legend: n rows, y labels (n,) in {0, 1}, p scores (n,).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import InputInvalid
from models.metrics import checked

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """How well scores order rows within their entity; each number is NaN where no entity tells."""

    k: int
    """Rows from the top that `ndcg` and `recall` look at."""
    entities: int
    """Entities with a positive row: those of which `ndcg` and `recall` are the means."""
    auc: float
    """Mean of the entities' own AUC, weighted by their rows, over those with both classes (Zhu et
    al. 2018, Deep Interest Network, eq. 8, there called GAUC)."""
    ndcg: float
    """Mean of DCG@k over the best there could be, with gain y and discount 1 / log2(place + 1)
    (Järvelin and Kekäläinen 2002)."""
    recall: float
    """Mean of the share of an entity's positives among its k first rows."""


def ranking(y: ArrayLike, p: ArrayLike, entity: ArrayLike, k: int) -> Ranking:
    """Return how well `p` orders the rows of each entity, in O(n log n).

    Args:
        y: 0 or 1.
        p: scores.
        entity: (n,) what tells the entities apart; of any type that can be sorted.
        k: rows from the top, at least 1.

    Raises:
        InputInvalid: shapes or values are not those, or there is no row.
    """
    labels, scores = checked(y, p)
    owners = np.asarray(entity)
    if owners.shape != labels.shape or k < 1:
        raise InputInvalid(
            f"ranking: y {labels.shape}, entity {owners.shape}, k={k}: shapes must be equal, and "
            "k 1 or more"
        )
    order = np.lexsort((-scores, owners))
    labels, scores, owners = labels[order], scores[order], owners[order]
    of_entity = _starts(owners[1:] != owners[:-1])
    of_tie = of_entity | _starts(scores[1:] != scores[:-1])
    entities, ties = np.cumsum(of_entity) - 1, np.cumsum(of_tie) - 1
    place = np.arange(len(labels)) - np.flatnonzero(of_entity)[entities]  # from 0, the best first
    rows = np.bincount(entities)
    positives = np.bincount(entities, weights=labels).astype(np.float64)
    # What stands at a place is the mean label of the rows that may stand there.
    gain = (np.bincount(ties, labels) / np.bincount(ties))[ties]
    is_top, has_positive = place < k, positives > 0
    found = np.bincount(entities, gain * is_top)
    dcg = np.bincount(entities, gain * is_top / np.log2(place + 2))
    best = np.cumsum(1 / np.log2(np.arange(k) + 2))[np.clip(positives, 1, k).astype(int) - 1]
    return Ranking(
        k=k,
        entities=int(has_positive.sum()),
        auc=_mean_auc(labels, place, entities, ties, rows, positives),
        ndcg=_mean(dcg / best, has_positive),
        recall=_mean(found / np.maximum(positives, 1), has_positive),
    )


def _mean_auc(
    labels: Floats, place: Ints, entities: Ints, ties: Ints, rows: Ints, positives: Floats
) -> float:
    """Return the mean of the entities' AUC by their rows: (R - m (m + 1) / 2) / (m k) of each."""
    # The midrank from the lowest score up; rows of equal score share the mean of their places.
    midplace = (np.bincount(ties, place) / np.bincount(ties))[ties]
    rank_sum = np.bincount(entities, labels * (rows[entities] - midplace))
    pairs = positives * (rows - positives)
    won = rank_sum - positives * (positives + 1) / 2
    has_both = pairs > 0
    return _mean(won / np.where(has_both, pairs, 1), has_both, rows)


def _mean(values: Floats, counts: NDArray[np.bool_], weights: Ints | None = None) -> float:
    if not counts.any():
        return float("nan")
    return float(np.average(values[counts], weights=None if weights is None else weights[counts]))


def _starts(differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([[True], differs])
