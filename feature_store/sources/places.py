"""What is put down where a source looks: whether it counts as a file, and why it can be none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SUFFIXES = (".csv", ".gz", ".zip", ".parquet")
"""How the names of delivered files end; a folder of such a name is meant as one."""
_FOLDER = "is a folder; the files in it are found only if DailyFiles.pattern leads to them"


def counts(path: Path) -> bool:
    """Whether a path is meant as a file; a folder is, if it has the name of one."""
    if path.name.startswith((".", "_")):
        return False
    return path.suffix in SUFFIXES or unfit(path) != _FOLDER


def unfit(path: Path) -> str | None:
    """Return why what is put down as a file cannot be one, None if it can."""
    try:
        mode = path.stat().st_mode
    except OSError as error:  # a link that leads nowhere, a folder that is closed to this user
        return f"cannot be read ({error.strerror})"
    if stat.S_ISDIR(mode):
        return _FOLDER
    if not stat.S_ISREG(mode):
        return "is no file but a pipe or a device"
    return None if shown(path) == str(path) else "has a name that is not UTF-8"


def shown(path: Path) -> str:
    """Return a path as text that can be stored; a byte of it that is not UTF-8 is written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
