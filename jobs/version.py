"""The version of the code that computed something."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version


@cache
def code_version() -> str:
    """Return the installed version of nightscore, as pinned in every commit."""
    return version("nightscore")
