"""What a Delta table's log says, and what went wrong when a write did not commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from feature_store.errors import WriteConflict, WriteFailed
from feature_store.tables.lineage import DayCommit, commits_from_log

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOG_FILE = re.compile(r"(\d{20})\.json\Z")
_CONFLICTS = (
    "ConcurrentAppend",
    "ConcurrentDelete",
    "ConcurrentTransaction",
    "ConcurrentWrite",
    "ProtocolChanged",
    "MetadataChanged",
    "DELTA_CONCURRENT",
    "DELTA_CONSTRAINT_ALREADY_EXISTS",
    "DELTA_PATH_EXISTS",
    "DELTA_METADATA_CHANGED",
    # What another driver's table looks like between its folder and its first commit.
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",
    "DELTA_PROTOCOL_CHANGED",
)
_CONSTRAINT = re.compile(r"CHECK constraint (\S+) (.*?) violated by row.*", re.S)


def log_versions(spark: SparkSession, location: str) -> set[int]:
    """Return the versions whose log file is there; empty where there is no table."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(f"{location}/_delta_log")
    file_system = path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf())
    if not file_system.exists(path):
        return set()
    matches = (_LOG_FILE.match(f.getPath().getName()) for f in file_system.listStatus(path))
    return {int(match.group(1)) for match in matches if match}


def read_commits(spark: SparkSession, location: str, versions: Iterable[int]) -> list[DayCommit]:
    """Return what the commits of these versions say about days, oldest first."""
    found = []
    for version in sorted(versions):
        text = _read_text(spark, f"{location}/_delta_log/{version:020d}.json")
        found += commits_from_log(version, text.split("\n"))
    return found


def _read_text(spark: SparkSession, file: str) -> str:
    """Return a small file; a Spark job for it would cost more than the writing of the commit."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(file)
    configuration = spark._jsparkSession.sessionState().newHadoopConf()
    stream = path.getFileSystem(configuration).open(path)
    try:
        return str(jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


@contextmanager
def guarded_write(what: str) -> Iterator[None]:
    """Turn what Spark or Delta raises in a write into WriteConflict or WriteFailed.

    Args:
        what: the table and days being written, for the message.
    """
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        reason, is_conflict = explain(error)
        if is_conflict:
            raise WriteConflict(f"{what}: another driver committed first: {reason}") from error
        raise WriteFailed(f"{what}: nothing was written: {reason}") from error


def explain(error: Exception) -> tuple[str, bool]:
    """Return the first line of the true cause, and whether it is a conflict between writers.

    A violated CHECK constraint under `replaceWhere` is reported as a mismatch of the predicate;
    the true reason is in the cause, and it is the one returned.
    """
    text = str(error)
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    chain = [text]
    while java is not None:
        chain.append(str(java.toString()))
        java = java.getCause()
    whole = "\n".join(chain)
    violated = _CONSTRAINT.search(whole)
    if violated:
        return f"constraint {violated.group(1)} {violated.group(2)} is violated", False
    if "No space left on device" in whole:
        return "no space left on device. Free some and run again", False
    is_conflict = any(name in whole for name in _CONFLICTS)
    innermost = chain[-1].strip().splitlines()[0] if chain[-1].strip() else type(error).__name__
    return innermost[:500], is_conflict
