"""Java's archive of the classes that Spark and Delta load: a cold start takes a third less.

Application class-data sharing, https://openjdk.org/jeps/350. `infra/setup_archive.py` makes the
archive at set-up; it fits one Java and one set of jars, and is passed over for any other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.machine.jars import jars_dir

if TYPE_CHECKING:
    from jobs.machine.java import JavaRuntime


def class_path(prefix: Path | None = None) -> str:
    """Return what is to come before Spark's own jars, so that its classes can be archived too."""
    return os.pathsep.join(str(path) for path in sorted(jars_dir(prefix).glob("*.jar")))


def archive_path(java: JavaRuntime, prefix: Path | None = None) -> Path:
    """Return where the archive for this Java and the jars as they are now lies, or would."""
    folder = jars_dir(prefix).parent
    spec = importlib.util.find_spec("pyspark")
    spark = Path(spec.origin).parent if spec and spec.origin else folder
    jars = sorted([*jars_dir(prefix).glob("*.jar"), *(spark / "jars").glob("*.jar")])
    # Java refuses an archive when a jar's time or size differs from what it was.
    stats = [(str(jar), jar.stat().st_size, jar.stat().st_mtime_ns) for jar in jars]
    digest = hashlib.sha256(repr((str(java.home), java.version, stats)).encode()).hexdigest()
    return folder / f"classes-{digest[:12]}.jsa"


def base_path(archive: Path) -> Path:
    """Return where the archive of Java's own classes lies, for a Java that comes without one."""
    return archive.with_suffix(".base.jsa")


def archive_options(java: JavaRuntime) -> list[str]:
    """Return the options by which Java takes the archive; none where there is no archive."""
    archive = archive_path(java)
    if not archive.is_file():
        return []
    base = base_path(archive)
    files = f"{base}{os.pathsep}{archive}" if base.is_file() else str(archive)
    # What does not fit is passed over, and Java need not say so.
    return [f"-XX:SharedArchiveFile={files}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]


def has_base(java: JavaRuntime) -> bool:
    """Whether Java brings an archive of its own classes, on which another can be built."""
    return any((java.home / "lib").glob("*/classes.jsa"))
