"""A frozen set that lies in an object store is read from there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from models.fit.frozen import training_files
from models.fit.recipe import FitRecipe
from models.fit.run import FitOptions, fit
from models.training.data import Shard, read_all, stream
from tests.frozen import SIGNATURE


@pytest.fixture
def store(frozen_set: Path) -> Iterator[str]:
    """The set in a store besides."""
    filesystem = fsspec.filesystem("memory")
    filesystem.put(str(frozen_set), "/sets/one", recursive=True)
    yield "memory://sets/one"
    filesystem.rm("/sets", recursive=True)


def test_it_is_read_row_for_row_as_it_would_be_here(recipe: FitRecipe, store: str) -> None:
    here, there = (training_files(recipe, "train", place) for place in ("", store))
    for shard in (Shard(), Shard(index=1, count=2), Shard(index=2, count=3)):
        for mine, stored in zip(
            read_all(here, SIGNATURE, shard), read_all(there, SIGNATURE, shard), strict=True
        ):
            np.testing.assert_array_equal(mine, stored)


def test_a_seed_shuffles_row_groups_and_loses_none(recipe: FitRecipe, store: str) -> None:
    files = training_files(recipe, "train", store)
    orders = [
        [part.values[0, 0] for part in stream(files, SIGNATURE, seed=seed)] for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2])
    assert len(orders[0]) == 8


def test_a_set_in_a_store_alone_is_fitted(
    recipe: FitRecipe, tmp_path: Path, store: str, frozen_set: Path
) -> None:
    shutil.rmtree(frozen_set)
    made = fit(recipe, tmp_path / "out", FitOptions(location=store))
    assert made.bundle is not None
    assert not made.is_reused
