"""The Spark session every job uses: Delta, UTC, one thread per Python worker."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.errors import UsageError
from jobs.config import setting
from jobs.machine.class_archive import archive_options, class_path
from jobs.machine.java import find_java
from jobs.machine.log_files import logs_folder
from jobs.machine.stderr import quiet_start

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"

SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": _CATALOG,
    "spark.sql.session.timeZone": "UTC",
    # Else what BETWEEN and nullif look at twice is worked out for every row beforehand, also where
    # an error in it should only mean that the row has no value.
    "spark.sql.alwaysInlineCommonExpr": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Large, because each batch has a fixed cost on its way to Python; the scorer cuts it up into
    # the few thousand rows that a compiled model is fastest with.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "16384",
    "spark.python.worker.reuse": "true",
    # Else every expression that Python makes asks Java several things for a message that shows the
    # line of our code: a fifth of Python's time in a night.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Java compiles no method above 8000 bytes of code; past that Spark's plain operators are three
    # times faster than its generated ones (measured on the quarantine rules of a wide table).
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # A day without rows is a fact too: its commit says what it was made of.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # Petastorm reads the files of a table, which a deletion vector would make wrong.
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.databricks.delta.vacuum.parallelDelete.enabled": "true",
}

LOCAL_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.driver.memory": "4g",
    # Delta keeps 50 partitions for its log by default: too many for one machine.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
}


QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
"""For an application of a minute or two: Java's optimising compiler and its parallel collector take
nearly half of the CPU time of such a one, and it ends before they pay."""
STEADY_JAVA = (
    "-XX:Tier4InvocationThreshold=50000 -XX:Tier4MinInvocationThreshold=20000 "
    "-XX:Tier4CompileThreshold=150000 -XX:Tier4BackEdgeThreshold=400000"
)
"""For one of many minutes: what runs ten times as often as Java asks by default is optimised. Spark
writes new code for every query; where cores are shared, to optimise that of a few thousand rows
took a quarter of the time of preparing 92 days of `flights`."""

_LOG_TO_STDERR = Path(__file__).resolve().with_name("log4j2.properties")
_LOG_TO_FILE = Path(__file__).resolve().with_name("log4j2-file.properties")
_LEVELS = ("ALL", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF")
_MEMORY = re.compile(r"[1-9][0-9]*[kmgt]b?\Z", re.IGNORECASE)


def jar_paths() -> list[Path]:
    """Return Delta's jars, fetched at set-up into this environment."""
    return sorted(Path(sys.prefix, "nightscore", "jars").glob("*.jar"))


def is_submitted() -> bool:
    """Whether spark-submit started this process, and so chose master, memory and jars."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def local_conf(*, is_quick: bool = False) -> dict[str, str]:
    """Return master and sizes for a session that nobody submitted, for a day's work or for more."""
    cores = setting("NIGHTSCORE_CORES", os.cpu_count() or 2, 1, 1024)
    master = os.environ.get("NIGHTSCORE_MASTER") or f"local[{cores},4]"
    conf = {
        "spark.master": master,
        "spark.driver.extraClassPath": class_path(),
        "spark.driver.extraJavaOptions": " ".join(
            [
                *_log_options(),
                *archive_options(find_java()),
                QUICK_JAVA if is_quick else STEADY_JAVA,
            ]
        ),
        "spark.sql.shuffle.partitions": str(2 * cores),
        **LOCAL_SETTINGS,
    }
    if master.startswith("local"):
        # Elsewhere executors must find the driver by its own address.
        conf |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    else:
        conf["spark.jars"] = ",".join(str(path) for path in jar_paths())
    memory = os.environ.get("NIGHTSCORE_DRIVER_MEMORY")
    return {**conf, "spark.driver.memory": memory} if memory else conf


def start_spark(app_name: str, *, is_quick: bool = False) -> SparkSession:
    """Return a session, started if there is none in this process."""
    level = checked_settings()
    # Without this the workers start whatever python3 is first on the path.
    os.environ["PYSPARK_PYTHON"] = os.environ.get("NIGHTSCORE_WORKER_PYTHON") or sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if not is_submitted():
        os.environ["JAVA_HOME"] = str(find_java().home)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName(app_name)
    conf = SETTINGS if is_submitted() else {**SETTINGS, **local_conf(is_quick=is_quick)}
    for key, value in conf.items():
        builder = builder.config(key, value)
    with nullcontext() if is_submitted() else quiet_start():
        spark = builder.getOrCreate()
    # Spark repeats every exception it raises as a page of JSON; the exception itself is enough.
    logging.getLogger("DataFrameQueryContextLogger").setLevel(logging.CRITICAL)
    spark.sparkContext.setLogLevel(level)
    return spark


@contextmanager
def spark_session(app_name: str, *, is_quick: bool = False) -> Iterator[SparkSession]:
    """Yield a session and stop it afterwards."""
    spark = start_spark(app_name, is_quick=is_quick)
    try:
        yield spark
    finally:
        spark.stop()


def _log_options() -> list[str]:
    """Return where Spark's own log goes: to a file, or to stderr for whoever asked for a level."""
    folder = None if os.environ.get("NIGHTSCORE_SPARK_LOG") else logs_folder()
    if folder is None:
        return [f"-Dlog4j2.configurationFile={_LOG_TO_STDERR.as_uri()}"]
    return [
        f"-Dlog4j2.configurationFile={_LOG_TO_FILE.as_uri()}",
        f'"-Dnightscore.sparklog={folder / "spark.log"}"',
    ]


def checked_settings() -> str:
    """Return Spark's log level, after all settings that Java or Spark would answer with a trace.

    Raises:
        UsageError: one of them breaks its rule.
    """
    level = os.environ.get("NIGHTSCORE_SPARK_LOG") or "ERROR"
    if level.upper() not in _LEVELS:
        raise UsageError(f"NIGHTSCORE_SPARK_LOG={level!r}: must be one of {', '.join(_LEVELS)}")
    memory = os.environ.get("NIGHTSCORE_DRIVER_MEMORY") or "4g"
    if not _MEMORY.match(memory):
        raise UsageError(
            f"NIGHTSCORE_DRIVER_MEMORY={memory!r}: a whole number with its unit, k, m, g or t, is "
            "needed, such as 4g"
        )
    python = os.environ.get("NIGHTSCORE_WORKER_PYTHON") or sys.executable
    is_here = os.environ.get("NIGHTSCORE_MASTER", "local").startswith("local")
    if is_here and not is_submitted() and shutil.which(python) is None:
        raise UsageError(
            f"NIGHTSCORE_WORKER_PYTHON={python!r}: is no program that can be started here. Set it "
            "to an interpreter with nightscore installed, or unset it"
        )
    return level.upper()
