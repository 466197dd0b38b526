"""Files that a fit reads, wherever they lie (paths, or URLs that fsspec knows), and writes."""

from __future__ import annotations

import fcntl
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

log = logging.getLogger(__name__)


def open_file(path: str) -> BinaryIO:
    """Return a file, opened to read its bytes.

    Raises:
        OSError: it is not there, or may not be read.
    """
    local = local_path(path)
    if local is not None:
        return local.open("rb")
    filesystem, inner = _filesystem(path)
    return cast("BinaryIO", filesystem.open(inner, "rb"))


def file_size(path: str) -> int:
    """Return the bytes of a file.

    Raises:
        OSError: it is not there, or may not be read.
    """
    local = local_path(path)
    if local is not None:
        return local.stat().st_size
    filesystem, inner = _filesystem(path)
    return int(filesystem.size(inner))


def local_path(path: str) -> Path | None:
    """Return what a path or a `file://` URL names on this machine; None for any other URL."""
    text = path.removeprefix("file://")
    return None if "://" in text else Path(text)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder of this machine for the block; yields whether nobody else holds it.

    It is let go when the process ends, however that ends. A file system that knows no locks of
    folders (some of those on a network) keeps nobody out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            log.info("%s cannot be held: %s", folder, error)
        yield True
    finally:
        os.close(descriptor)


def write_whole(path: Path, raw: bytes) -> None:
    """Put bytes in their place on this machine, whole and durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        with draft.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _filesystem(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # not needed for what lies here

    try:
        filesystem, inner = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise OSError(f"{url}: {error}") from error
    return filesystem, str(inner)
