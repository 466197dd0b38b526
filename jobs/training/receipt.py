"""What a fit tells whoever started it: JSON that says what was made, or what failed.

It may be a file that a cluster mounts and reads when the container ends (`/dev/termination-log`),
so it is written in its place and stays short.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.finality import failure_record

LENGTH = 600
"""Characters of a message that are kept: a cluster keeps 4,096 bytes of all."""


def leave_result(path: Path | None, told: Mapping[str, Any]) -> None:
    """Write what a fit made."""
    _leave(path, {"steps": {}, "fit": dict(told)})


def leave_failure(path: Path | None, error: BaseException) -> None:
    """Write why a fit failed, unless another of its processes has: the first that ends says why."""
    text = str(error) or type(error).__name__
    short = text if len(text) <= LENGTH else f"{text[:LENGTH]}…"
    _leave(path, {"steps": {}, "failure": failure_record(error, short)})


def _leave(path: Path | None, content: Mapping[str, Any]) -> None:
    if path is None:
        return
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.stat().st_size == 0:
            file.write(json.dumps(content))
