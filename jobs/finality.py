"""Which errors a repeat may get past, for whoever schedules jobs."""

from __future__ import annotations

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
