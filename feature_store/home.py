"""Where all state lives: one folder or object-store URL, named by NIGHTSCORE_HOME."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import unquote

from feature_store.errors import NightscoreError, UsageError
from feature_store.schema import is_of_stream

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*|(?<=file:).*)\Z", re.DOTALL | re.IGNORECASE)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
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
        """Return the home at a local path, made absolute, or at a URL.

        `file:/x`, `file:///x` and `file://localhost/x` are the local path, `%20` and the like
        decoded; a path that is no URL is taken as it is written.

        Raises:
            UsageError: it is a URL that names no folder of this machine and no store.
        """
        text = str(place)
        scheme = _SCHEME.match(text)
        if scheme is None:
            return cls._local(Path(text).expanduser(), text)
        if scheme.group(1).lower() == "file":
            return cls._local(Path(_path_of_file_url(text)), text)
        if not scheme.group(2).startswith("//"):
            raise UsageError(
                f"NIGHTSCORE_HOME={text!r}: a URL is written {scheme.group(1)}://…, and a local "
                f"folder of that name ./{text}"
            )
        return cls(text.rstrip("/"))

    @classmethod
    def _local(cls, path: Path, text: str) -> Home:
        place = str(path.resolve())
        if _ENCODED.search(place):  # delta-rs would decode it, and read another folder
            raise UsageError(
                f"NIGHTSCORE_HOME={text!r}: the path of a local folder may not hold what a URL "
                f"would decode ({unquote(place)!r}?). Write that path as it is, write "
                "file:///… for a URL, or rename the folder"
            )
        return cls(place)

    @property
    def is_local(self) -> bool:
        """Whether the home is a folder of this machine (or a mounted one)."""
        return "://" not in self.root

    def require_writable(self) -> None:
        """Make the folder if there is none, and find out whether files can be made in it.

        Raises:
            NightscoreError: it cannot be written; names the folder and why. A store is not asked.
        """
        if not self.is_local:
            return
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise NightscoreError(
                f"NIGHTSCORE_HOME={self.root!r}: must be a folder that can be written, and is not: "
                f"{error.strerror} ({error.filename or self.root}). Set NIGHTSCORE_HOME to another "
                "folder, or mend this one"
            ) from error

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
        """Return the location of a pipeline's table, or of that of a stream."""
        owner = () if is_of_stream(table) else (pipeline,)
        return self.path("tables", *owner, *table.split("/"))


def _path_of_file_url(text: str) -> str:
    """Return the local path that a `file:` URL names."""
    rest = text[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host not in ("", "localhost") or not slash:
            raise UsageError(
                f"NIGHTSCORE_HOME={text!r}: {host!r} stands where the name of a machine does; a "
                "local folder is written file:///path, with three slashes"
            )
        rest = f"/{path}"
    if not rest.startswith("/"):
        raise UsageError(
            f"NIGHTSCORE_HOME={text!r}: a file: URL names an absolute path, as file:///path does"
        )
    return unquote(rest, errors="strict")
