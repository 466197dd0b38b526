"""What a fit is told: a model, how it is trained, and the files of a frozen set, pinned.

It is one JSON file, `recipe.json`, that names its own digest: what was written by `freeze` is what
is fitted, on whichever machine, or nothing is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.digests import content_digest
from models.errors import ConfigInvalid, RecipeInvalid
from models.signature import Signature
from models.training.files import write_whole

if TYPE_CHECKING:
    from models.training.config import TrainConfig

FORMAT = 1
RECIPE = "recipe.json"
TRAIN, VALID, EVAL = "train", "valid", "eval"


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenFile:
    """One file of a frozen set, pinned."""

    path: str
    """Below the set's location."""
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenSplit:
    """The files of one split, in the order of their rows, and what its labels are."""

    files: tuple[FrozenFile, ...]
    labels: Mapping[str, tuple[float, int]]
    """By name: the rows that have the label, and those of them for which it is true. Where
    negatives were left out, the rows are the sum of the weights: those of the whole, about."""

    @property
    def rows(self) -> int:
        """Rows of all files together."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitRecipe:
    """One fit; the same recipe gives the same model on the same machine."""

    key: str
    """The same for trainings that would give the same model."""
    pipeline: str
    reference: str
    """The model as it was asked for: its name, or `path.py:NAME`."""
    model: str
    module: str
    """The module that the model is built by; of one in a file it names what is in the file."""
    code: str
    """Digest of the code that makes the model."""
    torch: str
    """The torch of the machine where the set was frozen."""
    config: Mapping[str, Any]
    train: Mapping[str, Any]
    precision: str
    compiled: bool
    """Whether a compiled package is wanted beside the portable export."""
    signature: Signature
    encoding: str
    """Digest of the encoding that the keys of the files were made with."""
    location: str
    """Folder or URL of the frozen set."""
    splits: Mapping[str, FrozenSplit]
    data: Mapping[str, Any]
    """What the bundle says of the rows and settings it was made of."""

    @property
    def train_config(self) -> TrainConfig:
        """How it is trained.

        Raises:
            ConfigInvalid: a setting breaks its rule.
        """
        from models.training.config import TrainConfig

        return TrainConfig(**self.train)

    @property
    def held_out(self) -> str:
        """The split that the bundle's golden rows are of: the latest there is."""
        return EVAL if EVAL in self.splits else VALID

    @property
    def identity(self) -> str:
        """What tells it from every other recipe, wherever its set and its model's file lie."""
        content = self._content()
        del content["location"], content["reference"]
        return content_digest(content)

    def _content(self) -> dict[str, Any]:
        """Return the recipe as JSON-ready data."""
        return {**dataclasses.asdict(self), "signature": self.signature.record()}

    def to_text(self) -> str:
        """Return the recipe as the text of `recipe.json`, the same for equal recipes."""
        content = self._content()
        told = {"format": FORMAT, "sha256": content_digest(content), "recipe": content}
        return json.dumps(told, indent=1, sort_keys=True)

    def write(self, folder: Path) -> Path:
        """Write the recipe into a folder, whole, unless the same one stands there.

        Returns its path.
        """
        path, text = folder / RECIPE, self.to_text()
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return path
        write_whole(path, text.encode())
        return path


def read_recipe(path: Path) -> FitRecipe:
    """Return the recipe that `FitRecipe.write` wrote.

    Raises:
        RecipeInvalid: there is none, it cannot be read, or it is not what was written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no text"
        raise RecipeInvalid(
            path, f"cannot be read: {why}. Name what nightscore freeze wrote"
        ) from (error)
    try:
        told = json.loads(text)
        number, content, pinned = told["format"], told["recipe"], told["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeInvalid(path, f"is no recipe: {error!r}. Freeze again") from error
    if number != FORMAT:
        raise RecipeInvalid(path, f"format {number}; this code reads {FORMAT}. Freeze again")
    if content_digest(content) != pinned:
        raise RecipeInvalid(path, "was changed after it was frozen. Freeze again")
    return _from_json(path, content)


def _from_json(path: Path, content: dict[str, Any]) -> FitRecipe:
    try:
        signature = Signature.from_record(content["signature"])
        splits = {
            name: FrozenSplit(
                files=tuple(FrozenFile(**file) for file in split["files"]),
                labels={label: (rows, yes) for label, (rows, yes) in split["labels"].items()},
            )
            for name, split in content["splits"].items()
        }
        return FitRecipe(
            **{**content, "signature": signature, "splits": splits},
        )
    except (KeyError, TypeError, ValueError, AttributeError, ConfigInvalid) as error:
        raise RecipeInvalid(path, f"cannot be used: {error!r}. Freeze again") from error
