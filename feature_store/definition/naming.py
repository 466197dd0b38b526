"""What a name may look like, and how a broken rule is told."""

from __future__ import annotations

import re
from collections.abc import Iterator

Broken = Iterator[tuple[str, object, str]]
"""Each broken rule: the field, its value, and the rule."""

NAME_RULE = "must be lower case letters, digits and _, a letter first, 80 at most"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,79}\Z")


def is_name(text: str) -> bool:
    """Whether a text may be a name."""
    return _NAME.match(text) is not None


def reserved(names: tuple[str, ...]) -> str:
    """Return the rule against a name that tables need."""
    return f"is a column that tables need for themselves, as are {', '.join(names)}"
