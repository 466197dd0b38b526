"""Metrics within an entity against brute force over every order that ties allow."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from models import metrics
from models.errors import InputInvalid
from models.ranking import ranking

rows = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.1, 0.5, 0.9]), st.integers(-2, 2)),
    min_size=1, max_size=12,
)  # fmt: skip


def orders(p: np.ndarray) -> list[tuple[int, ...]]:
    """Every order of the rows in which no score stands before a higher one."""
    every = permutations(range(len(p)))
    return [o for o in every if all(p[a] >= p[b] for a, b in pairwise(o))]


def by_entity(found: list[tuple[int, float, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    owners = sorted({owner for _, _, owner in found})
    own = [[(y, p) for y, p, owner in found if owner == one] for one in owners]
    return [(np.array([y for y, _ in o]), np.array([p for _, p in o])) for o in own]


@given(rows.filter(lambda found: max(map(len, map(lambda o: o[0], by_entity(found)))) <= 5),
       st.integers(1, 6))  # fmt: skip
@settings(deadline=None, max_examples=100)
def test_each_metric_is_its_mean_over_the_orders_of_ties(
    found: list[tuple[int, float, int]], k: int
) -> None:
    told = ranking(*(np.array(column) for column in zip(*found, strict=True)), k=k)
    ndcgs, recalls, aucs, sizes = [], [], [], []
    for y, p in by_entity(found):
        if 0 < y.sum() < len(y):
            aucs.append(metrics.auc(y, p))
            sizes.append(len(y))
        if y.sum():
            best = sum(1 / math.log2(i + 2) for i in range(min(k, int(y.sum()))))
            tops = [y[list(order)][:k] for order in orders(p)]
            gains = [sum(v / math.log2(i + 2) for i, v in enumerate(top)) for top in tops]
            ndcgs.append(np.mean(gains) / best)
            recalls.append(np.mean([top.sum() / y.sum() for top in tops]))
    assert told.entities == len(ndcgs)
    assert (told.ndcg, told.recall) == pytest.approx(
        (np.mean(ndcgs), np.mean(recalls)) if ndcgs else (math.nan, math.nan), nan_ok=True
    )
    assert told.auc == pytest.approx(
        np.average(aucs, weights=sizes) if aucs else math.nan, nan_ok=True
    )


def test_ndcg_of_one_entity_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 50), rng.integers(0, 9, 50) / 8
    for k in (1, 7, 50, 60):
        expected = ndcg_score(y[None], p[None], k=k)
        assert ranking(y, p, np.zeros(50), k).ndcg == pytest.approx(expected)


@given(rows, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_order_and_the_names_of_entities_do_not_matter(
    found: list[tuple[int, float, int]], rng
) -> None:
    def told(of: list[tuple[int, float, int]]) -> tuple[float, ...]:
        y, p, owner = (np.array(column) for column in zip(*of, strict=True))
        seen = ranking(y, p, np.array([f"u{-o}" for o in owner]), 3)
        return seen.entities, seen.auc, seen.ndcg, seen.recall

    shuffled = list(found)
    rng.shuffle(shuffled)
    assert told(shuffled) == pytest.approx(told(found), nan_ok=True)


def test_a_score_that_only_tells_entities_apart_orders_nothing_within_them() -> None:
    owner = np.repeat(np.arange(40), 25)
    y = (np.random.default_rng(1).random(1000) < (owner / 50)).astype(float)
    assert metrics.auc(y, owner / 50) > 0.7
    assert ranking(y, owner / 50, owner, 5).auc == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("y", "p", "entity", "k"),
    [([1], [0.5], [1, 2], 3), ([1], [0.5], [1], 0), ([], [], [], 1), ([2], [0.5], [1], 1)],
)
def test_what_cannot_be_ranked_is_refused(y: list, p: list, entity: list, k: int) -> None:
    with pytest.raises(InputInvalid):
        ranking(y, p, entity, k)
