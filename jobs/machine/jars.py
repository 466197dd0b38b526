"""Delta's jars: which ones the lock names, where an environment keeps them, are they right."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

from feature_store.errors import NightscoreError

LOCK = Path(__file__).resolve().parents[2] / "infra" / "locks" / "jars.lock"


class JarError(NightscoreError):
    """A jar cannot be fetched, or is not the one that was locked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedJar:
    """One line of `infra/locks/jars.lock`."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """The name by which Spark's resolver asks for it."""
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        """The name it has in the environment."""
        return f"{self.artifact}-{self.version}.jar"


def read_lock(path: Path = LOCK) -> list[LockedJar]:
    """Return the locked jars in file order.

    Raises:
        JarError: A line has not four fields, or names no sha256.
    """
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [fields for fields in lines if fields and not fields[0].startswith("#")]
    for fields in rows:
        if len(fields) != 4 or len(fields[3]) != 64:
            raise JarError(f"{path}: {' '.join(fields)!r} is not 'group artifact version sha256'")
    return [LockedJar(group=g, artifact=a, version=v, sha256=s) for g, a, v, s in rows]


def jars_dir(prefix: Path | None = None) -> Path:
    """Return where an environment (by default this one) keeps its jars."""
    return (Path(sys.prefix) if prefix is None else prefix) / "nightscore" / "jars"


def sha256_of(path: Path) -> str:
    """Return the file's digest in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_right(path: Path, jar: LockedJar) -> bool:
    """Say whether `path` is that jar, byte for byte."""
    return path.is_file() and sha256_of(path) == jar.sha256
