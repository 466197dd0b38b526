"""What takes long to make is made by one of the processes that run the tests, for all of them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]) -> Path:
    """Return a folder that the first process to ask builds, and the others wait for.

    Args:
        factory: tells where this run of the tests keeps its files.
        name: the folder's name, and what is in it: the same wherever it is asked for.
        build: makes the folder at the path it is given.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    # Built where it stays: what is made may say where it lies.
    folder, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            build(folder)
            made.touch()
    return folder
