"""Files of a frozen set, wherever they lie: local paths, or URLs that fsspec knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, cast


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


def _filesystem(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # not needed for what lies here

    try:
        filesystem, inner = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise OSError(f"{url}: {error}") from error
    return filesystem, str(inner)
