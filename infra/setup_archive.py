"""Makes Java's archive of the classes that a night loads, so that Spark starts in less time.

    .venv/bin/python infra/setup_archive.py

It goes to `<environment>/nightscore`, some 180 MB. One that fits this Java and these jars is left
alone. Where it cannot be made, that is said, and everything works without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from jobs.machine.class_archive import archive_path, base_path, has_base
from jobs.machine.java import JavaNotFound, JavaRuntime, find_java

TIMEOUT_SECONDS = 300


def make(java: JavaRuntime) -> Path:
    """Make the archive for `java` unless it is there; return where it lies.

    Raises:
        OSError, subprocess.SubprocessError: it could not be made; nothing half-made is left.
    """
    target = archive_path(java)
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".archive-", dir=target.parent) as folder:
        try:
            _dump(java, Path(folder), base_path(target)).replace(target)
        except BaseException:
            base_path(target).unlink(missing_ok=True)
            raise
    for path in target.parent.glob("classes-*.jsa"):
        if path not in (target, base_path(target)):
            path.unlink()
    return target


def _dump(java: JavaRuntime, folder: Path, base: Path) -> Path:
    """Return the archive as a draft in `folder`; what it is built on stays where it is made."""
    draft, options = folder / "classes.jsa", ["-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
    if not has_base(java):
        _run([str(java.home / "bin" / "java"), "-Xshare:dump", f"-XX:SharedArchiveFile={base}"])
        options.append(f"-XX:SharedArchiveFile={base}")
    options.append(f"-XX:ArchiveClassesAtExit={draft}")
    _run(
        [sys.executable, __file__, "--load-classes", str(folder)],
        JDK_JAVA_OPTIONS=" ".join(options),
    )
    return draft


def load_classes(folder: Path) -> None:
    """Do what a night does, on next to nothing, and let Java end by itself."""
    from delta.tables import DeltaTable
    from pyspark.sql import functions as F

    from jobs.machine.spark import start_spark

    spark = start_spark("nightscore set-up", is_quick=True)
    place = str(folder / "table")
    rows = spark.range(1000).select(
        F.lit("2000-01-01").cast("date").alias("ds"),
        F.col("id"),
        (F.col("id") % 7).cast("string").alias("key"),
        F.to_json(F.struct("id")).alias("row"),
        F.xxhash64("id").alias("hash"),
    )
    counts = rows.groupBy("ds", "key").agg(
        F.max_by("id", "hash").alias("id"), F.count("id").alias("n")
    )
    writer = rows.join(counts, ["ds", "key", "id"], "left").hint("rebalance", "ds").write
    writer = writer.format("delta").mode("overwrite").partitionBy("ds")
    writer.option("replaceWhere", "ds = DATE'2000-01-01'").save(place)
    written = spark.read.format("delta").load(place)
    written.mapInArrow(lambda batches: batches, written.schema).toPandas()
    merge = DeltaTable.forPath(spark, place).alias("t").merge(written.alias("s"), "t.id = s.id")
    merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
    gateway: Any = spark.sparkContext._gateway
    spark.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()  # by this Spark's Java ends, and writes the archive
    gateway.proc.wait()


def _run(command: list[str], **environ: str) -> None:
    subprocess.run(
        command,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=TIMEOUT_SECONDS,
    )


def main() -> int:
    """Make the archive, or say why there is none; return the exit code."""
    if sys.argv[1:2] == ["--load-classes"]:
        load_classes(Path(sys.argv[2]))
        return 0
    try:
        path = make(find_java())
    except (OSError, subprocess.SubprocessError, JavaNotFound) as error:
        said = getattr(error, "stderr", None) or b""
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        print(f"setup_archive: none made ({error}{': ' if last else ''}{' '.join(last)}). Spark")
        print("setup_archive: starts some seconds later without it; nothing else changes")
        return 0
    print(f"setup_archive: {path}, {path.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
