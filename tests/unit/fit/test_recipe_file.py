"""A recipe is what was frozen, to the letter, or it is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from models.errors import FrozenSetChanged, RecipeInvalid
from models.fit.frozen import check_frozen
from models.fit.recipe import FORMAT, FitRecipe, read_recipe


def test_what_was_written_is_read(recipe: FitRecipe, training: Path) -> None:
    read = read_recipe(training / "recipe.json")
    assert read.to_text() == recipe.to_text()
    assert read.signature == recipe.signature
    assert read.splits == recipe.splits
    assert read.train_config == recipe.train_config


def test_the_same_recipe_is_not_written_again(recipe: FitRecipe, training: Path) -> None:
    before = (training / "recipe.json").stat().st_mtime_ns
    assert recipe.write(training) == training / "recipe.json"
    assert (training / "recipe.json").stat().st_mtime_ns == before
    assert [path.name for path in training.iterdir()] == ["recipe.json"]


def test_a_recipe_that_was_edited_is_refused(training: Path) -> None:
    path = training / "recipe.json"
    told = json.loads(path.read_text())
    told["recipe"]["train"]["epochs"] = 9
    path.write_text(json.dumps(told))
    with pytest.raises(RecipeInvalid, match=r"recipe\.json: was changed after it was frozen"):
        read_recipe(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no recipe"),
        ("[]", "is no recipe"),
        (json.dumps({"format": FORMAT + 1, "sha256": "", "recipe": {}}), "this code reads 1"),
    ],
)
def test_what_is_no_recipe_is_refused(training: Path, text: str, message: str) -> None:
    (training / "recipe.json").write_text(text)
    with pytest.raises(RecipeInvalid, match=message):
        read_recipe(training / "recipe.json")


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeInvalid, match=r"cannot be read: No such file.*nightscore freeze"):
        read_recipe(tmp_path / "recipe.json")


def test_a_whole_set_is_accepted_wherever_it_lies(recipe: FitRecipe, frozen_set: Path) -> None:
    check_frozen(recipe)
    moved = frozen_set.rename(frozen_set.with_name("a place with=signs"))
    check_frozen(recipe, str(moved))
    check_frozen(recipe, f"file://{moved}/")
    with pytest.raises(FrozenSetChanged, match=r"part-00000\.parquet: cannot be read: No such"):
        check_frozen(recipe)


def test_a_set_in_a_store_that_fsspec_knows_is_accepted(
    recipe: FitRecipe, frozen_set: Path
) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.put(str(frozen_set), "/sets/one", recursive=True)
    try:
        check_frozen(recipe, "memory://sets/one")
        store.rm("/sets/one/split=valid/part-00001.parquet")
        with pytest.raises(FrozenSetChanged, match=r"memory://sets/one/split=valid/part-00001"):
            check_frozen(recipe, "memory://sets/one")
    finally:
        store.rm("/sets", recursive=True)


def test_a_file_that_was_changed_is_refused_by_its_digest(
    recipe: FitRecipe, frozen_set: Path
) -> None:
    file = frozen_set / "split=valid" / "part-00001.parquet"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(FrozenSetChanged, match=r"part-00001\.parquet: sha256 is .*, was "):
        check_frozen(recipe)
    file.write_bytes(raw[:-1])
    with pytest.raises(FrozenSetChanged, match=r"part-00001\.parquet: has \d+ bytes, had "):
        check_frozen(recipe)


def test_a_scheme_that_nothing_knows_is_told(recipe: FitRecipe) -> None:
    with pytest.raises(FrozenSetChanged, match=r"nosuch://x/split=train/part-00000"):
        check_frozen(dataclasses.replace(recipe, location="nosuch://x"))
