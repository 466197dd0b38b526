"""Puts Delta's two jars, checked by sha256, where `spark.jars` finds them without a network.

    .venv/bin/python infra/setup_jars.py               # through Spark's own resolver
    .venv/bin/python infra/setup_jars.py --from DIR    # from jars that are already on this machine

They go to `<environment>/nightscore/jars`. A jar that is there and right is left alone, so a
second run costs nothing. A mirror is named as for any Spark: `spark.jars.repositories` or
`spark.jars.ivySettings` in `$SPARK_CONF_DIR/spark-defaults.conf`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).resolve().parent / "locks" / "jars.lock"
ATTEMPTS = 3

# What Delta asks for and Spark already has (second copies of Hadoop, Parquet and log4j), or what
# nothing here calls. With all of it come 33 jars and 87 MB; without it 2 jars and 9 MB.
EXCLUDES = (
    "org.apache.hadoop:*",
    "org.apache.parquet:*",
    "org.apache.logging.log4j:*",
    "io.unitycatalog:*",
    "com.fasterxml.jackson.core:*",
    "io.delta:delta-kernel-api",
    "io.delta:delta-kernel-defaults",
    "io.delta:delta-kernel-unitycatalog",
)


class JarError(RuntimeError):
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
    """Return the locked jars in file order."""
    lines = [line.split() for line in path.read_text().splitlines()]
    rows = [fields for fields in lines if fields and not fields[0].startswith("#")]
    for fields in rows:
        if len(fields) != 4:
            raise JarError(f"{path}: {' '.join(fields)!r} is not 'group artifact version sha256'")
    return [LockedJar(group=g, artifact=a, version=v, sha256=s) for g, a, v, s in rows]


def jars_dir(prefix: Path | None = None) -> Path:
    """Return where an environment keeps its jars."""
    return (Path(sys.prefix) if prefix is None else prefix) / "nightscore" / "jars"


def is_right(path: Path, jar: LockedJar) -> bool:
    """Say whether `path` is that jar, byte for byte."""
    if not path.is_file():
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def install(jars: list[LockedJar], target: Path, source: Path | None = None) -> list[str]:
    """Put every jar in `target`, checked; return the names of those that were not there yet.

    Raises:
        JarError: A jar cannot be had, or differs from the lock. `target` then holds no wrong jar.
    """
    wanted = [jar for jar in jars if not is_right(target / jar.file_name, jar)]
    if wanted:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".jars-", dir=target.parent) as scratch:
            found = resolve(jars, Path(scratch)) if source is None else source
            for jar in wanted:
                _copy_checked(jar, found, target)
    _remove_others(jars, target)
    return [jar.file_name for jar in wanted]


def resolve(jars: list[LockedJar], ivy: Path) -> Path:
    """Fetch the jars through Spark's own resolver into `ivy`; return the folder that holds them."""
    command = _resolver_command(jars, ivy)
    for attempt in range(1, ATTEMPTS + 1):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=600, env=_environment()
        )
        if done.returncode == 0:
            return ivy / "jars"
        if attempt < ATTEMPTS:
            time.sleep(5 * attempt)
    tail = "\n".join((done.stdout + done.stderr).splitlines()[-25:])
    raise JarError(
        f"Spark's resolver could not fetch {', '.join(jar.coordinate for jar in jars)} "
        f"({ATTEMPTS} attempts). Its last words:\n{tail}\n"
        "Look at the network, name a mirror (spark.jars.repositories in spark-defaults.conf), or "
        "hand over the files: .venv/bin/python infra/setup_jars.py --from DIR"
    )


def _resolver_command(jars: list[LockedJar], ivy: Path) -> list[str]:
    nothing_to_do = ivy / "resolve_only.py"
    nothing_to_do.write_text("")
    settings = {
        "spark.jars.packages": ",".join(jar.coordinate for jar in jars),
        "spark.jars.excludes": ",".join(EXCLUDES),
        "spark.jars.ivy": str(ivy),
    }
    conf = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    submit = Path(sys.prefix) / "bin" / "spark-submit"
    return [str(submit), "--master", "local[1]", *conf, str(nothing_to_do)]


def _environment() -> dict[str, str]:
    from jobs.java import find_java  # --from DIR needs no Java

    runtime = find_java()
    return {**os.environ, "JAVA_HOME": str(runtime.home), "PYSPARK_PYTHON": sys.executable}


def _copy_checked(jar: LockedJar, source: Path, target: Path) -> None:
    # Spark's resolver puts the group in front of the name; a folder made by hand need not.
    names = (f"{jar.group}_{jar.file_name}", jar.file_name)
    candidates = [source / name for name in names if (source / name).is_file()]
    if not candidates:
        raise JarError(f"{source} holds neither {' nor '.join(names)}")
    if not is_right(candidates[0], jar):
        digest = hashlib.sha256(candidates[0].read_bytes()).hexdigest()
        raise JarError(
            f"{jar.file_name}: sha256 is {digest}, the lock says {jar.sha256}. "
            "It was not installed. If the version was changed on purpose, "
            f"change {LOCK.name} too; if not, do not use this file"
        )
    draft = target / f".{jar.file_name}.{os.getpid()}"
    shutil.copyfile(candidates[0], draft)
    draft.replace(target / jar.file_name)


def _remove_others(jars: list[LockedJar], target: Path) -> None:
    keep = {jar.file_name for jar in jars}
    for path in target.glob("*.jar"):
        if path.name not in keep:
            path.unlink()


def main() -> int:
    """Install the locked jars into this environment; return the exit code."""
    parser = argparse.ArgumentParser(description="Install Delta's jars into this environment.")
    parser.add_argument("--from", dest="source", type=Path, help="a folder that holds the jars")
    source = parser.parse_args().source
    jars = read_lock()
    target = jars_dir()
    try:
        fetched = install(jars, target, source)
    except (JarError, RuntimeError) as error:
        print(f"setup_jars: {error}", file=sys.stderr)
        return 1
    for jar in jars:
        state = "installed" if jar.file_name in fetched else "already there"
        print(f"setup_jars: {jar.file_name} {state} in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
