"""Streaming moments equal those of the whole."""

from __future__ import annotations

import numpy as np

from models.training.moments import Moments


def test_moments_of_parts_are_those_of_the_whole_without_missing_values() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal([1e6, -3, 0], [50, 2, 1], (1000, 3)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0, 1] = np.inf
    moments = Moments(3)
    for part in np.array_split(values, 7):
        moments.update(part)
    mean, std = moments.fit()
    whole = np.where(np.isinf(values), np.nan, values).astype(np.float64)
    np.testing.assert_allclose(mean, np.nanmean(whole, 0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(std, np.nanstd(whole, 0), rtol=1e-5)


def test_constant_and_empty_columns_have_deviation_one() -> None:
    moments = Moments(2)
    moments.update(np.array([[7.1, np.nan]] * 5, np.float32))
    mean, std = moments.fit()
    np.testing.assert_allclose(mean, [7.1, 0])
    np.testing.assert_array_equal(std, [1, 1])
