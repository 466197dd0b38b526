"""Where all state lives: one folder or object-store URL, named by NIGHTSCORE_HOME."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from feature_store.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")


@dataclass(frozen=True, slots=True)
class Home:
    """The root of all state: an absolute local path, or a URL such as `s3a://bucket/prefix`."""

    root: str

    @classmethod
    def from_env(cls) -> Home:
        """Return the home that NIGHTSCORE_HOME names, by default `./warehouse`."""
        return cls.of(os.environ.get("NIGHTSCORE_HOME") or "warehouse")

    @classmethod
    def of(cls, place: str | Path) -> Home:
        """Return the home at a local path (made absolute) or a URL; `file://` becomes a path."""
        text = str(place).rstrip("/")
        if text.startswith("file://"):
            text = text.removeprefix("file://")
        if "://" in text:
            return cls(text)
        return cls(str(Path(text).expanduser().resolve()))

    @property
    def is_local(self) -> bool:
        """Whether the home is a folder of this machine (or a mounted one)."""
        return "://" not in self.root

    def path(self, *parts: str) -> str:
        """Return the location of `parts` below the root.

        Raises:
            UsageError: a part could leave the root.
        """
        for part in parts:
            if not _NAME.match(part):
                raise UsageError(f"name={part!r}: must be letters, digits, _, . and - only")
        return "/".join([self.root, *parts])

    def local_path(self, *parts: str) -> Path:
        """Return `path(*parts)` as a local path.

        Raises:
            UsageError: the home is not local.
        """
        if not self.is_local:
            raise UsageError(
                f"NIGHTSCORE_HOME={self.root!r}: this needs a local folder. "
                "Set NIGHTSCORE_HOME to a folder, or name the service for it (MLFLOW_TRACKING_URI)"
            )
        return Path(self.path(*parts))

    def table(self, pipeline: str, table: str) -> str:
        """Return the location of a pipeline's table."""
        return self.path("tables", pipeline, *table.split("/"))
