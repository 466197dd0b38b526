"""Where the three steps of a training leave things for one another.

Below the home, `trainings/<pipeline>/<key>/` holds

    recipe.json      what `freeze` asks `fit` for, with every file of the frozen set pinned
    bundle/          what `fit` made of it
    registered.json  the registered version that `judge` made of the bundle, and where that lies now
    verdict.json     what `judge` found

The key is the same for trainings that would give the same model, so that whoever asks again finds
what is there. A training may be given a name besides (`trainings/<pipeline>/named/<name>`), by
which steps that run apart find the same one without telling one another its key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_store.errors import UsageError
from models.errors import RecipeInvalid
from models.fit.recipe import RECIPE, FitRecipe, read_recipe
from models.training.files import write_whole

if TYPE_CHECKING:
    from feature_store.home import Home

TRAININGS = "trainings"
NAMED = "named"
VERDICT = "verdict.json"
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """A recipe, and the folder in which its steps meet."""

    recipe: FitRecipe
    folder: Path

    @property
    def path(self) -> Path:
        """Where the recipe lies."""
        return self.folder / RECIPE


def training_folder(home: Home, pipeline: str, key: str) -> Path:
    """Return the folder of a training."""
    return home.local_path(TRAININGS, pipeline, key)


def open_training(home: Home, pipeline: str, which: str) -> Training:
    """Return a training by its key, or by the name it was frozen under.

    Raises:
        UsageError: nothing was frozen under it.
        RecipeInvalid: its recipe was changed.
    """
    folder = training_folder(home, pipeline, which)
    if not (folder / RECIPE).is_file():
        named = home.local_path(TRAININGS, pipeline, NAMED, which)
        if not named.is_file():
            raise UsageError(
                f"{pipeline}: training={which!r} does not exist below {folder.parent}. Freeze one: "
                f"nightscore freeze --pipeline {pipeline} --from … --to … --eval-to …, which "
                "prints its key"
            )
        folder = training_folder(home, pipeline, named.read_text(encoding="utf-8").strip())
    return Training(recipe=read_recipe(folder / RECIPE), folder=folder)


def unjudged(home: Home, pipeline: str, since: datetime) -> list[Training]:
    """Return the trainings that were frozen since a time and have no verdict yet.

    A recipe that cannot be read is of none: nothing can be fitted of it.
    """
    found = []
    for path in sorted(home.local_path(TRAININGS, pipeline).glob(f"*/{RECIPE}")):
        if (path.parent / VERDICT).exists() or path.stat().st_mtime < since.timestamp():
            continue
        with suppress(RecipeInvalid):
            found.append(Training(recipe=read_recipe(path), folder=path.parent))
    return found


def check_name(home: Home, pipeline: str, name: str) -> None:
    """Do nothing if a training can be given a name.

    Raises:
        UsageError: it is no name, or could be taken for a key.
    """
    if _KEY.fullmatch(name):
        raise UsageError(f"--name={name!r}: reads like a key of a training. Choose another")
    home.local_path(TRAININGS, pipeline, NAMED, name)


def give_name(home: Home, pipeline: str, name: str, key: str) -> None:
    """Let a training be found by a name, from now on."""
    write_whole(home.local_path(TRAININGS, pipeline, NAMED, name), f"{key}\n".encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Put JSON in its place, whole."""
    write_whole(path, json.dumps(content, indent=1, sort_keys=True).encode())
