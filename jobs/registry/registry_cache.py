"""What MLflow last answered about a pipeline's models, for as long as its database is unchanged.

Asking MLflow takes seconds, nearly all of them to import it; a night asks one small question.
SQLite counts the changes of a database in its header, so an answer kept with that count is as good
as a new one: whoever changes the registry, MLflow's own pages included, moves the count.
"""

from __future__ import annotations

import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

_HEADER = 100
_WRITE_VERSION = slice(18, 20)  # 1, 1: a rollback journal; 2: a write-ahead log, not counted
_CHANGES = slice(24, 28)


def stamp(database: Path) -> str | None:
    """Return what changes whenever a SQLite database does; None where that cannot be told."""
    if any(Path(f"{database}{end}").exists() for end in ("-journal", "-wal")):
        return None
    try:
        with database.open("rb") as file:
            header, status = file.read(_HEADER), os.fstat(file.fileno())
    except OSError:
        return None
    if len(header) < _HEADER or header[_WRITE_VERSION] != b"\x01\x01":
        return None
    changes = int.from_bytes(header[_CHANGES], "big")
    return f"{changes}/{status.st_size}/{status.st_mtime_ns}"


def load(path: Path, now: str | None) -> dict[str, Any] | None:
    """Return the answer kept at `path` if it was given at the stamp `now`."""
    if now is None:
        return None
    try:
        kept = json.loads(path.read_text())
        return kept["answer"] if kept["stamp"] == now else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(path: Path, given_at: str | None, answer: dict[str, Any]) -> None:
    """Keep an answer, if its stamp is known and the place can be written."""
    if given_at is None:
        return
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(json.dumps({"stamp": given_at, "answer": answer}))
        made.replace(path)
