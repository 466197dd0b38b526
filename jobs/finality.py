"""What whoever schedules jobs is told of an error: which, why, and if a repeat may get past it."""

from __future__ import annotations

from typing import Any

FINAL = frozenset(
    {
        "CheckFailed",
        "GateRefused",
        "ModelError",
        "NoChampion",
        "NothingKnown",
        "PublishFenced",
        "TooManyBadRows",
        "UsageError",
    }
)
"""Errors that a person must look at: the same inputs will fail in the same way."""
PASSING = frozenset({"AlreadyFitting", "ProcessLost", "Stopped"})
"""Those of them that a repeat may well get past: it goes on from a checkpoint."""


def is_final(error: BaseException) -> bool:
    """Return whether the same inputs would fail in the same way again."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & FINAL) and not kinds & PASSING


def failure_record(error: BaseException, text: str, step: str = "") -> dict[str, Any]:
    """Return what a receipt says of an error, in so many words, and of the step that it ended."""
    kind = type(error).__name__
    return {"step": step, "error": kind, "text": text, "final": is_final(error)}
