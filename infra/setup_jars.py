"""Puts Delta's two jars, checked by sha256, where `spark.jars` finds them without a network.

    .venv/bin/python infra/setup_jars.py               # through Spark's own resolver
    .venv/bin/python infra/setup_jars.py --from DIR    # from jars that are already on this machine

They go to `<environment>/nightscore/jars`. A jar that is there and right is left alone, so a
second run costs nothing. A mirror is named as for any Spark: `spark.jars.repositories` or
`spark.jars.ivySettings` in `$SPARK_CONF_DIR/spark-defaults.conf`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from jobs.machine.jars import LOCK, JarError, LockedJar, is_right, jars_dir, read_lock, sha256_of
from jobs.machine.java import JavaNotFound, find_java

ATTEMPTS = 3
TIMEOUT_SECONDS = 180

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
    said = ""
    for attempt in range(1, ATTEMPTS + 1):
        is_done, said = _run(command)
        if is_done:
            return ivy / "jars"
        if attempt < ATTEMPTS:
            time.sleep(5 * attempt)
    tail = "\n".join(said.splitlines()[-25:])
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


def _run(command: list[str]) -> tuple[bool, str]:
    # Another Spark on this machine must not answer in place of this environment's.
    environ = {key: value for key, value in os.environ.items() if key != "SPARK_HOME"}
    environ |= {"JAVA_HOME": str(find_java().home), "PYSPARK_PYTHON": sys.executable}
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {TIMEOUT_SECONDS} seconds"
    return done.returncode == 0, done.stdout


def _copy_checked(jar: LockedJar, source: Path, target: Path) -> None:
    # Spark's resolver puts the group in front of the name; a folder made by hand need not.
    names = (f"{jar.group}_{jar.file_name}", jar.file_name)
    candidates = [source / name for name in names if (source / name).is_file()]
    if not candidates:
        raise JarError(f"{source} holds neither {' nor '.join(names)}")
    if not is_right(candidates[0], jar):
        raise JarError(
            f"{jar.file_name}: sha256 is {sha256_of(candidates[0])}, the lock says {jar.sha256}. "
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
    except (JarError, JavaNotFound) as error:
        print(f"setup_jars: {error}", file=sys.stderr)
        return 1
    for jar in jars:
        state = "installed" if jar.file_name in fetched else "already there"
        print(f"setup_jars: {jar.file_name} {state} in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
