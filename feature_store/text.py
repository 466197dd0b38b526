"""Data shown to a person: always as the characters they are, never as commands to a terminal."""

from __future__ import annotations


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
