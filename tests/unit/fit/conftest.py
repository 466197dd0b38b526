"""A frozen set and its recipe, written once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.fit.recipe import FitRecipe
from tests.frozen import make_recipe, write_set


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen") / "set"
    write_set(folder)
    return folder


@pytest.fixture
def frozen_set(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "set"))


@pytest.fixture
def recipe(frozen_set: Path) -> FitRecipe:
    return make_recipe(frozen_set)


@pytest.fixture
def training(recipe: FitRecipe, tmp_path: Path) -> Path:
    """A folder with the recipe in it."""
    recipe.write(tmp_path / "training")
    return tmp_path / "training"
