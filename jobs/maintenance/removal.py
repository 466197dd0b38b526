"""How a folder is removed: moved away first, so that no half of one passes for a whole."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

HALF_REMOVED = ".removed-"
"""Begins the names of folders on their way out."""


def put_away(place: Path) -> None:
    """Give a folder a name that nobody looks for; `sweep` removes it, now or after a kill."""
    place.rename(place.with_name(f"{HALF_REMOVED}{uuid.uuid4().hex[:12]}"))


def sweep(folder: Path) -> None:
    """Remove what was put away in a folder."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name.startswith(HALF_REMOVED):
            shutil.rmtree(entry, ignore_errors=True)
