"""Mean and deviation of numeric features, gathered batch by batch in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Per column count, mean and squared deviations of the finite values (Chan et al. 1979)."""

    def __init__(self, columns: int) -> None:
        self._count = np.zeros(columns)
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)

    def update(self, values_BN: NDArray[np.float32]) -> None:
        """Take in a batch of values (B, N); NaN and infinite values are passed over."""
        values = values_BN.astype(np.float64)
        known = np.isfinite(values)
        count = known.sum(0)
        total = np.maximum(self._count + count, 1)
        mean = np.where(known, values, 0).sum(0) / np.maximum(count, 1)
        squares = np.where(known, values - mean, 0) ** 2
        shift = np.where(count > 0, mean - self._mean, 0)
        self._squares += squares.sum(0) + shift**2 * self._count * count / total
        self._mean += shift * count / total
        self._count += count

    def fit(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and standard deviation (N,); a constant or empty column has deviation 1."""
        std = np.sqrt(self._squares / np.maximum(self._count, 1))
        # Below float32's resolution of the mean there is nothing but rounding.
        varies = std > np.maximum(np.abs(self._mean), 1e-30) * 1e-6
        return self._mean.astype(np.float32), np.where(varies, std, 1.0).astype(np.float32)
