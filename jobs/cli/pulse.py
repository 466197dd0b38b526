"""Shows that a long step moves: how many of Spark's tasks are done, while Spark is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.cli.progress import Progress

TERMINAL_SECONDS = 1.0
PIPE_SECONDS = 30.0
"""A log gets a line this long after the last one, as long as something moves or not."""


@dataclass(frozen=True, slots=True)
class Work:
    """What Spark is doing now."""

    stages: int
    done: int
    tasks: int

    def __str__(self) -> str:
        stages = "1 stage" if self.stages == 1 else f"{self.stages} stages"
        return f"{self.done} of {self.tasks} tasks of {stages}"


@contextmanager
def pulse(spark: SparkSession, progress: Progress) -> Iterator[None]:
    """Tell the progress what Spark does until the block ends."""
    ended = threading.Event()
    thread = threading.Thread(
        target=beat, args=(lambda: work_of(spark), progress, ended), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=5.0)  # before the session goes that it asks


def beat(look: Callable[[], Work | None], progress: Progress, ended: threading.Event) -> None:
    """Tell the progress what `look` finds, again and again: often on a terminal, else rarely.

    Ends with the event, or where Spark cannot be asked any more: to say so is for the work itself.
    """
    is_live = progress.is_live
    while not ended.wait(TERMINAL_SECONDS if is_live else PIPE_SECONDS):
        try:
            work = look()
        except Exception:  # py4j raises many kinds when the process it asks has ended
            return
        if is_live:
            progress.detail(str(work) if work else "")
        elif time.monotonic() - progress.last_line >= PIPE_SECONDS * 0.9:
            doing = f": {work}" if work else ""
            progress.note(f"{progress.now or 'working'}, {progress.seconds:.0f} s so far{doing}")


def work_of(spark: SparkSession) -> Work | None:
    """Return what Spark does now; None where it does nothing."""
    tracker = spark.sparkContext.statusTracker()
    stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
    known = [stage for stage in stages if stage is not None]
    if not known:
        return None
    return Work(
        stages=len(known),
        done=sum(stage.numCompletedTasks for stage in known),
        tasks=sum(stage.numTasks for stage in known),
    )
