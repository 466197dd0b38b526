"""What an error of Spark, Delta, MLflow, Python or the system means to a person.

One table: a pattern over all that an error and its causes say, and one message that names the
thing, the value, the rule and the next step. What matches nothing keeps its own first line.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from feature_store.errors import NightscoreError
from models.errors import ModelError

_LENGTH = 600
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What an error means that says something like `pattern`; groups of it fill `message`."""

    pattern: re.Pattern[str]
    message: str


def _meaning(pattern: str, message: str) -> _Meaning:
    return _Meaning(re.compile(pattern, re.DOTALL), message)


_HOME = "NIGHTSCORE_HOME={home!r}"
_KEPT = "What was published stays"
_MEMORY = (
    "Give it less at once (NIGHTSCORE_CORES={cores}, fewer days) or more memory, and run the same "
    "command again. " + _KEPT
)

MEANINGS = (
    # The machine.
    _meaning(
        r"No space left on device|ENOSPC|Disk quota exceeded",
        "the disk is full. {file}Free some, or set NIGHTSCORE_HOME (now {home!r}) to a larger "
        "disk, and run the same command again. " + _KEPT,
    ),
    _meaning(
        r"Read-only file system|EROFS",
        "the file system is read-only. {file}" + _HOME + " must be a folder that may be written: "
        "set it to one",
    ),
    _meaning(
        r"Permission denied|EACCES|AccessDeniedException|Operation not permitted",
        "permission denied. {file}" + _HOME + " must be a folder that this user may read and "
        "write: set it to one, or mend its owner and mode",
    ),
    _meaning(
        r"(?:DELTA_CANNOT_CREATE_LOG_PATH\] Cannot create|Mkdirs failed to create) "
        r"(?:file:)?(?P<folder>\S*[^\s.,;])",
        "the folder {folder} cannot be made. " + _HOME + " must be a folder that may be written: "
        "set it to one, or mend its owner, mode or mount",
    ),
    _meaning(
        r"Too many open files|EMFILE",
        "too many open files: the limit of this shell is too low. Raise it (ulimit -n 65536) and "
        "run the same command again",
    ),
    _meaning(
        r"Java heap space|GC overhead limit exceeded|OutOfMemoryError",
        "Spark's driver ran out of memory (NIGHTSCORE_DRIVER_MEMORY={memory}). Set it higher, for "
        "example NIGHTSCORE_DRIVER_MEMORY=8g, and run the same command again. " + _KEPT,
    ),
    # A JVM that does not start, or is gone.
    _meaning(
        r"JAVA_GATEWAY_EXITED|Java gateway process exited",
        "Spark's Java did not start (NIGHTSCORE_DRIVER_MEMORY={memory}). Its own words stand above "
        "or in spark.log. See what this machine lacks: nightscore doctor",
    ),
    _meaning(
        r"Python worker exited unexpectedly|Python worker failed to connect back|ExecutorLost",
        "a Python worker of Spark died; most often the system killed it for its memory. " + _MEMORY,
    ),
    _meaning(
        r"Cannot run program \"(?P<program>[^\"]+)\"",
        "Spark cannot start {program!r}: NIGHTSCORE_WORKER_PYTHON must be an interpreter that is "
        "there on every machine, with nightscore installed",
    ),
    _meaning(
        r"PYTHON_VERSION_MISMATCH[^\n]*",
        "Spark's workers run another Python than the driver. Set NIGHTSCORE_WORKER_PYTHON to an "
        "interpreter of the same version, with nightscore installed",
    ),
    _meaning(
        r"Could not parse Master URL: '?(?P<master>[^'\n]*)'?",
        "NIGHTSCORE_MASTER={master!r} is no master of Spark: write local[2], spark://host:7077, "
        "yarn or k8s://…",
    ),
    _meaning(
        r"All masters are unresponsive|Master removed our application|Could not connect to spark://",
        "no Spark master answers at NIGHTSCORE_MASTER={master_setting!r}. Start it, or unset "
        "NIGHTSCORE_MASTER to use this machine",
    ),
    _meaning(
        r"Service '(?P<service>\w+)' failed after \d+ retries|BindException: (?P<bind>[^\n!]*)",
        "Spark cannot open a port on this machine ({service}{bind}). Is SPARK_LOCAL_IP or "
        "spark.driver.bindAddress an address of another machine, or every port taken? Unset it",
    ),
    _meaning(
        r"Answer from Java side is empty|Py4JNetworkError|Error while sending or receiving|"
        r"Error while obtaining a new communication channel",
        "Spark's Java process ended in the midst of the work; most often the system killed it for "
        "its memory (NIGHTSCORE_DRIVER_MEMORY={memory}). " + _MEMORY,
    ),
    # MLflow.
    _meaning(
        r"(?:[Ee]xperiment|nightscore-)[^\n]*deleted (?:state|experiment)|deleted experiment",
        "the MLflow experiment that this pipeline logs to was deleted at {tracking!r}. Restore it "
        "there (mlflow experiments restore), and run the same command again",
    ),
    _meaning(
        r"Can't locate revision|out-of-date database schema|Detected out-of-date",
        "MLflow's database at {tracking} was written by another version of MLflow. Install the "
        "locked one (make .venv), or upgrade a copy of it: mlflow db upgrade",
    ),
    _meaning(
        r"file is not a database|database disk image is malformed",
        "MLflow's database at {tracking} is damaged: models cannot be found without it. Restore "
        "the file from a copy of the home",
    ),
    _meaning(
        r"attempt to write a readonly database|unable to open database file",
        "MLflow's database at {tracking} cannot be written. " + _HOME + " must be a folder that "
        "this user may write: mend the file's owner and mode, or set NIGHTSCORE_HOME",
    ),
    _meaning(
        r"database is locked",
        "MLflow's database at {tracking} is locked by another process that does not let it go. "
        "Find it (fuser), or wait, and run the same command again",
    ),
    _meaning(
        r"(?:mlflow|MLFLOW|/api/2\.0/).*(?:Max retries exceeded|Connection refused|NameResolution|"
        r"timed out|Failed to establish)|(?:Max retries exceeded|API request to).*mlflow",
        "the MLflow server at MLFLOW_TRACKING_URI={tracking!r} does not answer. Start it or mend "
        "the address; unset the variable to keep models below the home",
    ),
    _meaning(
        r"Model registry functionality is unavailable|unsupported URI|UnsupportedModelRegistry|"
        r"Tracking URI .* is (?:invalid|not)",
        "MLFLOW_TRACKING_URI={tracking!r} names no kind of store that MLflow knows: write "
        "http(s)://…, sqlite:///…, postgresql://… or unset it",
    ),
    # Tables.
    _meaning(
        r"Json(?:Parse|EOF|Mapping)Exception|MismatchedInputException|MalformedInputException|"
        r"MALFORMED_RECORD_IN_PARSING|Unrecognized token",
        "a file of a table's log is damaged. {file}Restore it from a copy of the home; if it is "
        "the newest of its _delta_log, remove it: the table is then as it was before that commit",
    ),
    _meaning(
        r"DELTA_(?:TRUNCATED_TRANSACTION_LOG|LOG_FILE_NOT_FOUND\w*|VERSIONS_NOT_CONTIGUOUS|"
        r"STATE_RECOVER_ERROR)\]?(?P<said>[^\n]*)",
        "files of a table's log are missing:{said} Restore them from a copy of the home",
    ),
    _meaning(
        r"is not a Parquet file|FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|could not read page",
        "a file of a table is gone or damaged. {file}Restore it from a copy of the home, or build "
        "its days again: nightscore backfill … --force",
    ),
    _meaning(
        r"FileNotFoundException|PATH_NOT_FOUND|NoSuchFileException|ENOENT",
        "a file is gone. {file}If it is of a table, restore it from a copy of the home; if it is "
        "of a source, have it delivered again",
    ),
    _meaning(
        r"UNRESOLVED_COLUMN[^\]]*\] A column[^\n]*?name `(?P<column>[^\n]+?)` cannot be resolved"
        r"(?P<said>[^\n]*)",
        "there is no column {column!r} in what was read.{said} If a file was delivered without it, "
        "have it delivered again; if the definition names it wrongly, mend the definition",
    ),
)

_FILE = re.compile(
    r"(?:file:)?(/(?:[^\s\"',;:()\[\]]|:(?!\s))+\.(?:parquet|json|csv|gz|crc|db))\b", re.DOTALL
)
_MARKED = re.compile(r"^\[(?P<mark>[A-Z][A-Z0-9_.]+)\] ")


def message_of(error: BaseException) -> str:
    """Return what to tell of any error: its own message, if it is one of ours."""
    return str(error) if isinstance(error, NightscoreError | ModelError) else explain(error)


def explain(error: BaseException) -> str:
    """Return one message for an error that has none of its own."""
    said = _all_said(error)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        said = f"{said}\n{errno.errorcode.get(error.errno or 0, '')}"
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR):
            return _not_a_folder(error)
    for meaning in MEANINGS:
        found = meaning.pattern.search(said)
        if found is not None:
            return meaning.message.format(**_values(error, found))
    return _own_words(error)


def _not_a_folder(error: OSError) -> str:
    return (
        f"{error.filename or 'a path'}: a file is in the way where a folder is needed "
        f"(NIGHTSCORE_HOME={_home()!r}). Set NIGHTSCORE_HOME to a folder, or move the file away"
    )


def _values(error: BaseException, found: re.Match[str]) -> dict[str, Any]:
    """Return what a message may name: what the pattern found, and the settings of this run."""
    path = _FILE.search(found.string)
    file = getattr(error, "filename", None) or (path.group(1) if path else "")
    return {
        **{name: value or "" for name, value in found.groupdict().items()},
        "file": f"{file}: " if file else "",
        "home": _home(),
        "memory": os.environ.get("NIGHTSCORE_DRIVER_MEMORY") or "4g, the default",
        "cores": os.environ.get("NIGHTSCORE_CORES") or "all, the default",
        "tracking": os.environ.get("MLFLOW_TRACKING_URI") or f"{_home()}/mlflow.db",
        "master_setting": os.environ.get("NIGHTSCORE_MASTER") or "local",
    }  # fmt: skip


def _own_words(error: BaseException) -> str:
    """Return the error's own first line, and the kind of it that Spark or Python names."""
    worker = _of_a_worker(str(error))
    if worker:
        return f"in a Python worker of Spark: {worker}"
    lines = str(error).strip().splitlines() or ["it says nothing"]
    first = lines[0].removeprefix("An error occurred while calling ").strip()
    if first.endswith(".") and len(lines) > 1 and re.match(r"o\d+\.", first):
        first = lines[1].lstrip(": ")
    kind = type(error).__name__
    return first[:_LENGTH] if _MARKED.match(first) else f"unexpected {kind}: {first}"[:_LENGTH]


def _of_a_worker(text: str) -> str:
    """Return the last line of a Python traceback that Spark quotes, or nothing."""
    if "Traceback (most recent call last)" not in text:
        return ""
    lines = [line.strip() for line in text.splitlines()]
    named = [one for one in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception)\b: ", one)]
    return named[-1][:_LENGTH] if named else ""


def _all_said(error: BaseException) -> str:
    """Return what an error, what caused it, and Java's exceptions behind it say."""
    return "\n".join(_chain(error))


def _chain(error: BaseException) -> Iterator[str]:
    current: BaseException | None = error
    for _ in range(_DEPTH):
        if current is None:
            return
        yield f"{type(current).__module__}.{type(current).__name__}: {current}"
        yield from _java(current)
        current = current.__cause__ or current.__context__


def _java(error: BaseException) -> Iterator[str]:
    """Yield what Java's exceptions behind an error say, as long as Java is there to be asked."""
    java: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    try:
        for _ in range(_DEPTH):
            if java is None:
                return
            yield str(java.toString())
            java = java.getCause()
    except Exception as gone:  # py4j raises many kinds when the process it asks has ended
        yield f"{type(gone).__name__}: {gone}"


def _home() -> str:
    from feature_store.home import Home

    try:
        return Home.from_env().root
    except NightscoreError:
        return os.environ.get("NIGHTSCORE_HOME", "")
