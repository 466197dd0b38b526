"""Digests by which what was written is told from what was changed since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the sha256, in hex, of JSON-ready data, in whatever order its fields were given."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
