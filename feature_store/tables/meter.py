"""What a stretch of work cost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class CostMeter:
    """Measures wall seconds and the task seconds of all executors since it was made."""

    def __init__(self, spark: SparkSession) -> None:
        """Start measuring."""
        self._spark = spark
        self._tasks = self._task_seconds()
        self._start = time.monotonic()

    def read(self) -> tuple[float, float]:
        """Return (wall seconds, executor task seconds) so far."""
        return time.monotonic() - self._start, self._task_seconds() - self._tasks

    def _task_seconds(self) -> float:
        context: Any = self._spark.sparkContext._jsc
        executors = context.sc().statusStore().executorList(False)
        total = sum(executors.apply(i).totalDuration() for i in range(executors.size()))
        return float(total) / 1000.0
