"""PSI by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from feature_store.quality.drift import merged, psi, psi_by_chance


def test_equal_distributions_have_no_drift() -> None:
    assert psi([10, 20, 30], [10, 20, 30]) == 0.0


def test_psi_of_two_bins_by_hand() -> None:
    # Half a row is added to each bin: shares 0.5, 0.5 against 0.75, 0.25.
    expected = 0.25 * math.log(1.5) + -0.25 * math.log(0.5)
    assert psi([9.5, 9.5], [14.5, 4.5]) == pytest.approx(expected)


def test_psi_is_symmetric_and_grows_with_the_distance() -> None:
    near, far = psi([50, 50], [55, 45]), psi([50, 50], [90, 10])
    assert 0 < near < far
    assert psi([50, 50], [90, 10]) == pytest.approx(psi([90, 10], [50, 50]))


def test_an_empty_bin_gives_a_finite_figure() -> None:
    assert math.isfinite(psi([0, 100], [100, 0]))


def test_chance_alone_gives_the_stated_psi() -> None:
    rng = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    drawn = [psi(rng.multinomial(5000, shares), rng.multinomial(900, shares)) for _ in range(400)]
    assert np.mean(drawn) == pytest.approx(psi_by_chance(5000, 900, 10), rel=0.1)


def test_no_rows_no_chance() -> None:
    assert psi_by_chance(0, 10, 5) == 0.0


def test_fine_bins_are_merged_to_about_equal_masses_of_the_reference() -> None:
    reference, day = merged([1] * 100, [0] * 50 + [2] * 50, 10)
    assert reference.tolist() == [10] * 10
    assert day.tolist() == [0] * 5 + [20] * 5


def test_what_lies_beside_the_one_bin_of_a_constant_is_not_lost_in_it() -> None:
    reference, day = merged([0, 0, 100, 0, 0], [0, 7, 0, 3, 0], 10)
    assert (reference.tolist(), day.tolist()) == ([0, 100, 0], [7, 0, 3])
    assert psi(reference, day) > 1


def test_no_row_is_lost_by_merging() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        fine, other = rng.poisson(rng.gamma(0.2, 20, 128)), rng.poisson(1.0, 128)
        reference, day = merged(fine, other, 20)
        assert (reference.sum(), day.sum()) == (fine.sum(), other.sum())
        assert len(reference) <= 41
