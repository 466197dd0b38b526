"""Data shown to a person: always as the characters they are, never as commands to a terminal."""

from __future__ import annotations

import math


def visible(value: object) -> str:
    r"""Return `value` as one line of text in which nothing acts.

    Control characters (a terminal's escapes, line ends, tabs), marks that turn the direction of
    writing, and what cannot be encoded are written as Python writes them: `\x1b`, `\n`.
    """
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def bytes_text(size: int) -> str:
    """Return a size for a person, in units of 1000."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def score_text(score: float) -> str:
    """Return a score with four decimals, or as many as three digits of a rare event need."""
    rare = min(score, 1.0 - score)
    if not 0.0 < rare < 0.01:
        return f"{score:.4f}"
    if score < 1e-6:
        return f"{score:.2e}"
    return f"{score:.{min(2 - math.floor(math.log10(rare)), 15)}f}"
