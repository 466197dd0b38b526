"""What went wrong when a write did not commit, or when a table could not be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from feature_store.errors import NightscoreError, WriteConflict, WriteFailed
from feature_store.tables.damage import damaged_table

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
    # Another driver made the table meanwhile, with other types: the next try starts one beside it.
    "DELTA_FAILED_TO_MERGE_FIELDS",
    "DELTA_MERGE_INCOMPATIBLE_DATATYPE",
)
_GONE = ("FileNotFoundException", "FILE_NOT_EXIST", "DELTA_FILE_NOT_FOUND", "PATH_NOT_FOUND")
_BROKEN = ("is not a Parquet file", "CANNOT_READ_FILE_FOOTER", "DELTA_LOG_FILE_NOT_FOUND",
           "DELTA_TRUNCATED_TRANSACTION_LOG", "DELTA_STATE_RECOVER_ERROR", "ChecksumException",
           "DELTA_VERSIONS_NOT_CONTIGUOUS", "JsonParseException", "JsonEOFException")  # fmt: skip
_FILE = re.compile(r"(?:file:|/|[a-z0-9]+://)\S*?\.(?:parquet|json)\b")
_CONSTRAINT = re.compile(r"CHECK constraint (\S+) (.*?) violated by row.*", re.S)


def guarded_write(what: str) -> AbstractContextManager[None]:
    """Turn what Spark or Delta raises in a write into WriteConflict or WriteFailed.

    Args:
        what: the table and days being written, for the message.
    """

    def told(reason: str, is_conflict: bool) -> NightscoreError:
        if is_conflict:
            return WriteConflict(f"{what}: another driver committed first: {reason}")
        return WriteFailed(f"{what}: nothing was written: {reason}")

    return _guarded(told)


def guarded_read(what: str) -> AbstractContextManager[None]:
    """Turn what Spark or Delta raises about a table's own files into TableDamaged.

    Args:
        what: the table and days being read, for the message.
    """
    return _guarded(lambda reason, _: damaged_table(what, reason))


@contextmanager
def _guarded(told: Callable[[str, bool], NightscoreError]) -> Iterator[None]:
    """Raise what `told` makes of the reason, and of whether it is a conflict, in the block."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise told(*explain(error)) from error


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
    if any(name in whole for name in (*_GONE, *_BROKEN)):
        file = _FILE.search(whole)
        if file:
            is_gone = any(name in whole for name in _GONE)
            return f"{file.group()} {'is not there' if is_gone else 'is broken'}", False
    is_conflict = any(name in whole for name in _CONFLICTS)
    innermost = chain[-1].strip().splitlines()[0] if chain[-1].strip() else type(error).__name__
    return innermost[:500], is_conflict
