"""Errors of Spark, MLflow, Python and the system reach a person as one message with a next step."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest

from feature_store.errors import NightscoreError, UsageError, WriteFailed
from feature_store.home import Home
from jobs.cli.errors import guarded
from jobs.cli.explain import explain
from jobs.machine import log_files, spark, stderr
from jobs.machine.log_files import keep_trace, scrubbed
from jobs.registry import mlflow_client
from jobs.registry import model_registry as registry
from tests.unit.conftest import save_bundle


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a state folder of their own, and no settings of this machine."""
    for name in ("NIGHTSCORE_DEBUG", "MLFLOW_TRACKING_URI", "NIGHTSCORE_DRIVER_MEMORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "home"


class Java:
    """What py4j gives for an exception of Java."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def toString(self) -> str:  # noqa: N802 - Java's name
        return self._texts[0]

    def getCause(self) -> Java | None:  # noqa: N802 - Java's name
        return Java(*self._texts[1:]) if self._texts[1:] else None


class SparkFailed(Exception):
    """An error that Java's exceptions stand behind."""

    def __init__(self, *texts: str) -> None:
        super().__init__("An error occurred while calling o77.save.\n: " + "\n\tat x.y\n" * 900)
        self.java_exception = Java(*texts)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/w/x"), ("disk is full", "/w/x")),
        (OSError(errno.EROFS, "Read-only file system", "/w/x"), ("read-only", "/w/x")),
        (PermissionError(errno.EACCES, "Permission denied", "/w/x"), ("permission denied", "/w/x")),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/w/x"), ("in the way", "/w/x")),
        (FileExistsError(errno.EEXIST, "File exists", "/w/x"), ("in the way", "/w/x")),
        (OSError(errno.EMFILE, "Too many open files"), ("ulimit -n",)),
        (SparkFailed("x.Y: Job aborted", "java.io.IOException: No space left on device"),
         ("disk is full", "NIGHTSCORE_HOME")),
        (SparkFailed("java.io.IOException: Mkdirs failed",
                     "java.nio.file.FileSystemException: /r/x: Read-only file system"),
         ("read-only", "NIGHTSCORE_HOME")),
        (SparkFailed("x.DeltaIOException: [DELTA_CANNOT_CREATE_LOG_PATH] Cannot create "
                     "file:/proc/x/_delta_log."),
         ("/proc/x/_delta_log cannot be made", "NIGHTSCORE_HOME")),
        (SparkFailed("java.lang.OutOfMemoryError: Java heap"), ("NIGHTSCORE_DRIVER_MEMORY",)),
        (SparkFailed("SparkException: Python worker exited unexpectedly (crashed)",
                     "java.io.EOFException"), ("Python worker", "NIGHTSCORE_CORES")),
        (SparkFailed("IOException: Cannot run program \"/no/python\": error=2, No such file"),
         ("'/no/python'", "NIGHTSCORE_WORKER_PYTHON")),
        (SparkFailed("org.apache.spark.SparkException: Could not parse Master URL: 'locl'"),
         ("NIGHTSCORE_MASTER='locl'", "local[2]")),
        (SparkFailed("java.net.BindException: Cannot assign requested address: Service "
                     "'sparkDriver' failed after 16 retries"), ("sparkDriver", "SPARK_LOCAL_IP")),
        (SparkFailed("x.SparkException: [FAILED_READ_FILE.NO_HINT] Encountered error while reading "
                     "file file:///w/tables/toy/scores/ds=2026-01-01/part-0.parquet. ",
                     "java.lang.RuntimeException: is not a Parquet file"),
         ("/w/tables/toy/scores/ds=2026-01-01/part-0.parquet", "Restore")),
        (SparkFailed("com.fasterxml.jackson.core.JsonParseException: Unexpected character: "
                     "/w/tables/toy/x/_delta_log/00000000000000000007.json"),
         ("00000000000000000007.json", "log is damaged")),
        (RuntimeError("Py4JNetworkError: Answer from Java side is empty"), ("Java process ended",)),
        (RuntimeError("[JAVA_GATEWAY_EXITED] Java gateway process exited before its port"),
         ("did not start", "nightscore doctor")),
        (RuntimeError("An exception was thrown from the worker.\nTraceback (most recent call "
                      "last):\n  File \"x.py\", line 1\nValueError: price is off\n"),
         ("in a Python worker of Spark: ValueError: price is off",)),
        (RuntimeError("[CAST_INVALID_INPUT] The value 'a' cannot be cast.\nSQLSTATE: 22018\n at x"),
         ("[CAST_INVALID_INPUT] The value 'a' cannot be cast.",)),
        (RuntimeError("MLflow: API request to http://x/api/2.0/mlflow/runs failed with exception "
                      "Max retries exceeded with url"), ("MLFLOW_TRACKING_URI", "does not answer")),
        (KeyError("ds"), ("unexpected KeyError: 'ds'",)),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, Exception) else "",
)  # fmt: skip
def test_an_error_is_one_message_that_names_what_to_do(
    error: Exception, told: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert guarded(fail) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1, shown
    assert len(shown) < 1000
    for text in told:
        assert text in shown


def test_what_is_told_of_an_error_is_all_that_is_told_and_its_traces_are_in_a_file(
    at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        try:
            raise SparkFailed("x.y.Z: the reason")
        except SparkFailed as error:
            raise WriteFailed(
                "toy.events ds=2026-01-01: nothing was written: the reason"
            ) from error

    assert guarded(fail) == 1
    shown = capsys.readouterr().err
    log = at_home / "logs" / "errors.log"
    assert shown == (
        f"nightscore: toy.events ds=2026-01-01: nothing was written: the reason. Traces: {log}\n"
    )
    assert log.read_text().count("at x.y") == 900
    assert guarded(lambda: (_ for _ in ()).throw(NightscoreError("ours alone"))) == 1
    assert "Traces" not in capsys.readouterr().err


def test_traces_go_to_the_users_folder_where_the_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("a file")
    assert keep_trace(ValueError("x")) == tmp_path / "state/nightscore/logs/errors.log"
    monkeypatch.setenv("NIGHTSCORE_HOME", "hdfs:/x")
    assert log_files.logs_folder() == tmp_path / "state/nightscore/logs"
    (tmp_path / "state/nightscore/logs/errors.log").unlink()
    (tmp_path / "state/nightscore/logs").rmdir()
    (tmp_path / "state/nightscore/logs").write_text("in the way too")
    assert keep_trace(ValueError("x")) is None


def test_logs_are_turned_over(monkeypatch: pytest.MonkeyPatch, at_home: Path) -> None:
    monkeypatch.setattr(log_files, "_MOST_BYTES", 400)
    for n in range(20):
        keep_trace(ValueError(f"error {n} {'x' * 100}"))
    files = sorted(path.name for path in (at_home / "logs").iterdir())
    assert files == ["errors.log", "errors.log.1", "errors.log.2", "errors.log.3"]
    assert "error 19" in (at_home / "logs" / "errors.log").read_text()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://me:hunter2@db/x", "hunter2"),
        ("https://token:abc123@host", "abc123"),
        ("password=hunter2 and more", "hunter2"),
        ("fs.s3a.secret.key=AKIA/xyz, next", "AKIA/xyz"),
        ("{'api_key': 'k-123456'}", "k-123456"),
        ("said by-the-environment here", "by-the-environment"),
    ],
)
def test_no_secret_is_kept_or_told(
    text: str, secret: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VENDOR_SECRET", "by-the-environment")
    assert secret not in scrubbed(text)
    file = keep_trace(ValueError(text))
    assert file is not None
    assert secret not in file.read_text()
    guarded(lambda: (_ for _ in ()).throw(NightscoreError(text)))
    assert secret not in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nightscore"])
def test_a_home_that_cannot_be_written_is_named_before_work(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    home = Home.of(tmp_path / place)
    with pytest.raises(NightscoreError, match=r"NIGHTSCORE_HOME='.*must be a folder that can be"):
        home.require_writable()


def test_a_home_that_can_be_written_is_left_empty(home: Home) -> None:
    home.require_writable()
    assert list(Path(home.root).iterdir()) == []
    Home.of("s3a://bucket/x").require_writable()


def test_a_deleted_experiment_is_restored_before_a_training(ready: Home) -> None:
    registry.require_writable(ready, "toy")
    client = mlflow_client.client(ready)
    experiment = client.get_experiment_by_name("nightscore-toy")
    client.delete_experiment(experiment.experiment_id)
    registry.require_writable(ready, "toy")
    assert client.get_experiment_by_name("nightscore-toy").lifecycle_stage == "active"
    client.delete_experiment(experiment.experiment_id)
    ref = registry.register(ready, "toy", save_bundle(ready, "w"), {"auc": 0.7}, {}, {})
    assert ref.version == 1


def test_a_registry_that_cannot_be_written_is_named_before_a_training(ready: Home) -> None:
    path = ready.local_path("mlflow.db")
    with sqlite3.connect(path) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(
            NightscoreError, match=r"mlflow\.db cannot be written: database is lock"
        ):
            mlflow_client.require_writable(ready, "nightscore-toy", patience=0.01)
        holder.rollback()


def test_a_damaged_registry_is_named(ready: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSCORE_HOME", ready.root)
    path = ready.local_path("mlflow.db")
    path.write_bytes(b"no database at all " * 400)
    mlflow_client._connect.cache_clear()
    with pytest.raises(Exception, match="file is not a database") as raised:
        registry.list_models(ready, "toy")
    assert str(path) in explain(raised.value)
    assert "is damaged" in explain(raised.value)


def test_an_unknown_kind_of_registry_and_one_that_does_not_answer_are_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uri, told in (
        ("foo://x", "names no kind of store"),
        ("http://127.0.0.1:9", "does not answer"),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(Exception, match=r".") as raised:
            registry.list_models(home, "toy")
        assert told in explain(raised.value)
        assert f"MLFLOW_TRACKING_URI={uri!r}" in explain(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("NIGHTSCORE_DRIVER_MEMORY", "lots", "a whole number with its unit"),
        ("NIGHTSCORE_DRIVER_MEMORY", "4", "a whole number with its unit"),
        ("NIGHTSCORE_SPARK_LOG", "loud", "must be one of ALL"),
        ("NIGHTSCORE_WORKER_PYTHON", "/no/python", "is no program"),
    ],
)
def test_a_setting_of_spark_is_checked_before_java_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, rule: str
) -> None:
    monkeypatch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name}='{value}': {rule}"):
        spark.checked_settings()


def test_javas_noise_is_left_out_and_all_else_is_passed_on() -> None:
    reads, writes = os.pipe()
    out_reads, out_writes = os.pipe()
    for part in (b"a\nWARN", b"ING: Using incubator mod", stderr.NOISE[28:], b"b\nWARNING: Us"):
        os.write(writes, part)
    os.close(writes)
    stderr.pass_on(reads, out_writes)
    os.close(out_writes)
    with os.fdopen(out_reads, "rb") as out:
        assert out.read() == b"a\nb\nWARNING: Us"


def test_what_java_prints_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    """Delta prints on stdout what VACUUM deleted, which would stand between lines of JSON."""
    before = set(threading.enumerate())
    with stderr.quiet_start():
        subprocess.run(["sh", "-c", "echo Deleted 2 files; echo oops >&2"], check=True)
    os.write(1, b"{}\n")
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    said = capfd.readouterr()
    assert said.out == "{}\n"
    assert said.err == "Deleted 2 files\noops\n"
