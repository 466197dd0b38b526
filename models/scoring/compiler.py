"""Which C++ compiler compiles models. Needs no torch, so that `nightscore doctor` can ask too."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

COST_WITHOUT = "at about half the speed"
"""What scoring the portable export costs, beside the compiled package."""
_INSTALL = "apt-get install g++ (12 or newer)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiler:
    """The compiler that will be used, or why there is none and what to do."""

    path: str | None
    why: str = ""
    remedy: str = ""


def find_compiler() -> Compiler:
    """Return what CXX names, and nothing else if it is set; without it, g++.

    clang++ compiles too, but may lack the OpenMP library that the compiled code wants. That would
    show after the training only, so clang++ is used only where CXX asks for it.
    """
    named = os.environ.get("CXX")
    if path := shutil.which(named or "g++"):
        return Compiler(path=path)
    if named:
        why, remedy = f"CXX={named!r} names no program", "set CXX to one that is there, or unset it"
    elif shutil.which("clang++"):
        why, remedy = "no g++, only clang++", f"{_INSTALL}, or set CXX=clang++ to compile with that"
    else:
        why, remedy = "no g++", f"{_INSTALL}, or set CXX to another compiler"
    return Compiler(path=None, why=why, remedy=remedy)
