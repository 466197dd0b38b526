"""Where the modules of a pipeline are put down: both of them whole, or neither."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from feature_store.errors import UsageError

_ELSEWHERE = "Nothing was written. Name a folder that may be written with --into"


def require_free(paths: Iterable[Path]) -> None:
    """Do nothing if none of the files is there.

    Raises:
        UsageError: one is.
    """
    for path in paths:
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"file {path}: is there already. Choose another name, or write it anew with --force"
            )


def put_down(texts: Mapping[Path, str]) -> None:
    """Write files, in place of any that are there; if one of them cannot be, all are as before.

    Each is written whole beside its place and then moved there, in the order in which they are
    given: what others import comes first.

    Raises:
        UsageError: a file cannot be written.
    """
    drafts = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            drafts[path].write_text(text, encoding="utf-8")
        _move(drafts)
    except OSError as error:
        where = error.filename or next(iter(texts))
        raise UsageError(f"{where}: cannot be written ({error.strerror}). {_ELSEWHERE}") from error
    finally:
        for draft in drafts.values():
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _move(drafts: Mapping[Path, Path]) -> None:
    """Move drafts to their places; what is moved when one fails is put back."""
    before = {path: path.read_bytes() if path.exists() else None for path in drafts}
    moved: list[Path] = []
    try:
        for path, draft in drafts.items():
            draft.replace(path)
            moved.append(path)
    except BaseException:
        for path in moved:
            _put_back(path, before[path])
        raise


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
