"""Rows like those of Criteo's ad clicks, drawn where they are needed: numpy alone makes them.

26 categorical fields, of 10 to a million values each, a few of which make most of the rows, and 13
numeric ones. Whether a row was clicked follows from a few of them, so that there is something to
learn.
"""

from __future__ import annotations

import numpy as np

from models.signature import Signature
from models.training.data import Rows

CATEGORICAL, NUMERIC = 26, 13
MOST_VALUES = 1_000_000
SKEW = 4
"""Of a field of n values, value n * u ** SKEW is drawn by a uniform u: half of the rows have one of
the first sixteenth."""
SIGNATURE = Signature(
    categorical=tuple(f"c{i:02d}" for i in range(CATEGORICAL)),
    numeric=tuple(f"n{i:02d}" for i in range(NUMERIC)),
    labels=("click",),
)


def cardinalities(most: int = MOST_VALUES) -> np.ndarray:
    """Return how many values each categorical field has, evenly spaced by their logarithm."""
    return np.geomspace(10, most, CATEGORICAL).astype(np.int64)


def draw(rows: int, seed: int, most: int = MOST_VALUES) -> Rows:
    """Return rows: keys are value numbers from 1, values standard normal, labels 0 or 1."""
    rng = np.random.default_rng(seed)
    drawn = rng.random((rows, CATEGORICAL)) ** SKEW * cardinalities(most)
    keys = drawn.astype(np.int64) + 1
    values = rng.standard_normal((rows, NUMERIC)).astype(np.float32)
    hint = (keys[:, 5] % 3 == 0) * 1.0 + (keys[:, 8] % 2 == 0) * (keys[:, 9] % 2 == 0) * 1.5
    odds = 1 / (1 + np.exp(2.0 - hint - 0.5 * values[:, 0]))
    labels = (rng.random(rows) < odds).astype(np.float32)[:, None]
    return Rows(keys, values, labels, np.ones(rows, np.float32))
