"""The files of a frozen set as they lie here: found, and checked against what was frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from models.errors import FrozenSetChanged
from models.fit.recipe import FitRecipe, FrozenFile
from models.training.data import TrainingFiles, group_rows
from models.training.files import file_size, open_file

_PIECE = 1 << 20
_READERS = 4


def training_files(recipe: FitRecipe, split: str, location: str = "") -> TrainingFiles:
    """Return a split of a recipe's set as the trainer takes it.

    Args:
        recipe: the recipe.
        split: one of its splits.
        location: folder or URL where the set lies, if not where it was frozen.
    """
    found = recipe.splits[split]
    return TrainingFiles(
        files=tuple(place(recipe, file, location) for file in found.files), rows=found.rows
    )


def place(recipe: FitRecipe, file: FrozenFile, location: str = "") -> str:
    """Return where a file of the set lies."""
    return f"{(location or recipe.location).rstrip('/')}/{file.path}"


def check_frozen(recipe: FitRecipe, location: str = "") -> None:
    """Do nothing if every file of the set is, to the byte, the one that was frozen.

    Raises:
        FrozenSetChanged: one is missing, or is another; names it.
    """
    files = [file for split in recipe.splits.values() for file in split.files]
    where = [place(recipe, file, location) for file in files]
    with ThreadPoolExecutor(_READERS) as pool:
        # Sizes first: most changes show in them, and they cost next to nothing.
        for path, file, size in zip(where, files, pool.map(_size, where), strict=True):
            if size != file.bytes:
                raise FrozenSetChanged(path, f"has {size} bytes, had {file.bytes}")
        for path, file, digest in zip(where, files, pool.map(sha256_of, where), strict=True):
            if digest != file.sha256:
                raise FrozenSetChanged(path, f"sha256 is {digest[:12]}…, was {file.sha256[:12]}…")


def pinned_file(location: str, path: str) -> FrozenFile:
    """Return a file below a set's location, pinned as it is now.

    Raises:
        FrozenSetChanged: it cannot be read.
    """
    (rows,) = group_rows([path])
    return FrozenFile(
        path=path.removeprefix(f"{location.rstrip('/')}/"),
        rows=sum(rows),
        bytes=_size(path),
        sha256=sha256_of(path),
    )


def sha256_of(path: str) -> str:
    """Return the sha256 of a file, local or at a URL, in hex."""
    told = hashlib.sha256()
    for piece in _pieces(path):
        told.update(piece)
    return told.hexdigest()


def _pieces(path: str) -> Iterator[bytes]:
    try:
        with open_file(path) as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise _gone(path, error) from error


def _size(path: str) -> int:
    try:
        return file_size(path)
    except OSError as error:
        raise _gone(path, error) from error


def _gone(path: str, error: OSError) -> FrozenSetChanged:
    return FrozenSetChanged(path, f"cannot be read: {error.strerror or error}")
