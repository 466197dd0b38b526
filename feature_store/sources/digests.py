"""Digests of delivered files, each file read once: a night hashes what is new, not what is there.

What was found is remembered in a small SQLite file in the cache folder, under everything that the
file system says of a file: path, device, inode, size, and both times of change. The second of them
(ctime) moves with every change and cannot be set back, as `touch -d` and `rsync -t` set the first.
A file that changed moments before is not remembered: a second change within the same tick of the
clock would look the same. Losing the folder costs time, never a result.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path

from feature_store.errors import SourceCorrupt
from feature_store.sources.daycache import cache_root, file_digest

log = logging.getLogger(__name__)

SETTLED_SECONDS = 3.0
"""Age from which a time of change is believed; coarser than any file system's clock (FAT has 2)."""
_TRIES = 3
_WAIT_SECONDS = 5.0
_TABLE = "CREATE TABLE IF NOT EXISTS digests (path TEXT PRIMARY KEY, stat TEXT, sha256 TEXT)"
_AT_ONCE = 500
"""Paths in one query; SQLite takes 999 parameters."""

_remembered: dict[tuple[str, str], str] = {}
"""What this process found, by path and stat."""


def content_digest(path: Path) -> str:
    """Return the sha256 of a file, which is read only if it changed since it was last asked for."""
    return content_digests([path])[path]


def content_digests(paths: Sequence[Path]) -> dict[Path, str]:
    """Return the sha256 of each file; new and changed ones are read, several at a time.

    Raises:
        SourceCorrupt: a file cannot be read, or changes again and again while it is read.
    """
    stats = {path: _stat(path) for path in paths}
    unknown = [path for path in paths if (str(path), stats[path]) not in _remembered]
    if unknown:
        _recall(unknown)
    new = [path for path in unknown if (str(path), stats[path]) not in _remembered]
    found = {path: _remembered[str(path), stats[path]] for path in paths if path not in set(new)}
    if new:
        with ThreadPoolExecutor(min(len(new), os.cpu_count() or 1)) as pool:
            read = dict(zip(new, pool.map(_read, new), strict=True))
        _remember((path, stat, digest) for path, (stat, digest) in read.items())
        found |= {path: digest for path, (_, digest) in read.items()}
    return found


def _read(path: Path) -> tuple[str, str]:
    """Return what the file system says of a file, and its digest, that belong together."""
    for _ in range(_TRIES):
        before = _stat(path)
        try:
            digest = file_digest(path)
        except OSError as error:
            raise SourceCorrupt(_unreadable(path, error)) from error
        if _stat(path) == before:
            return before, digest
    raise SourceCorrupt(
        f"source file {path}: changes while it is read. Have it written beside and moved in place "
        "when it is whole; then run again."
    )


def _stat(path: Path) -> str:
    try:
        s = path.stat()
    except OSError as error:
        raise SourceCorrupt(_unreadable(path, error)) from error
    return f"{s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"


def _unreadable(path: Path, error: OSError) -> str:
    return f"source file {path}: cannot be read ({error}). Look at its rights, then run again."


def _is_settled(stat: str) -> bool:
    last = max(int(part) for part in stat.split()[-2:])
    return time.time() - last / 1e9 > SETTLED_SECONDS


def _remember(read: Iterable[tuple[Path, str, str]]) -> None:
    settled = [(str(path), stat, digest) for path, stat, digest in read if _is_settled(stat)]
    _remembered.update({(path, stat): digest for path, stat, digest in settled})
    if not settled or not _is_usable(cache_root()):
        return
    try:
        with closing(_open()) as db, db:
            db.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", settled)
    except sqlite3.Error as error:
        _tell(error)


def _recall(paths: Sequence[Path]) -> None:
    """Bring what earlier processes found of `paths` into this one."""
    if not (cache_root() / "digests.sqlite").is_file():
        return
    try:
        with closing(_open()) as db:
            for start in range(0, len(paths), _AT_ONCE):
                some = [str(path) for path in paths[start : start + _AT_ONCE]]
                marks = ", ".join("?" * len(some))
                query = f"SELECT path, stat, sha256 FROM digests WHERE path IN ({marks})"  # noqa: S608 - question marks alone
                for path, stat, digest in db.execute(query, some):
                    _remembered[path, stat] = digest
    except sqlite3.Error as error:
        _tell(error)


def _open() -> sqlite3.Connection:
    db = sqlite3.connect(cache_root() / "digests.sqlite", timeout=_WAIT_SECONDS)
    db.execute(_TABLE)
    return db


@cache
def _is_usable(root: Path) -> bool:
    """Whether the cache folder can be written to; told once if not."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _tell(error)
        return False
    return True


def _tell(error: Exception) -> None:
    log.warning(
        "cache=%s: digests of source files are not remembered (%s): every run reads the files "
        "again. Name a writable folder in NIGHTSCORE_SOURCE_CACHE.",
        cache_root() / "digests.sqlite", error,
    )  # fmt: skip
