"""Where a step's time goes: Java, Python workers and our own Python, and Spark's longest stages.

What Java uses beyond its tasks are plans, compiling code, and collecting garbage.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LONGEST = 5
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Profile:
    """What parts of a run took, by the part's name, each measured once."""

    spark: SparkSession
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    workers: dict[int, float] = field(default_factory=dict)
    """CPU seconds of every Python worker that was ever seen: idle ones end after a minute."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure the block: wall and CPU seconds, garbage collection, shuffles, stages."""
        before, seen, start = self._cpu(), self._last_stage(), time.perf_counter()
        yield
        seconds, after = time.perf_counter() - start, self._cpu()
        stages = [stage for stage in self._stages() if stage["id"] > seen]
        self.parts[name] = {
            "seconds": seconds,
            **{who: after[who] - before[who] for who in after},
            "tasks_cpu": sum(stage["cpu"] for stage in stages),
            "gc": sum(stage["gc"] for stage in stages),
            "shuffled_mb": sum(stage["shuffled_mb"] for stage in stages),
            "spilled_mb": sum(stage["spilled_mb"] for stage in stages),
            "stages": sorted(stages, key=lambda stage: -stage["seconds"])[:LONGEST],
        }

    def _cpu(self) -> dict[str, float]:
        """Return CPU seconds until now of Java, of Spark's Python workers and of this process."""
        java: Any = self.spark._jvm
        pid = int(java.java.lang.ProcessHandle.current().pid())
        found = cpu_seconds()
        self.workers |= {worker: found[worker][0] for worker in below(pid, found)}
        return {
            "java_cpu": found[pid][0],
            "python_workers_cpu": sum(self.workers.values()),
            "driver_cpu": time.process_time(),
        }

    def _last_stage(self) -> int:
        return max((stage["id"] for stage in self._stages()), default=-1)

    def _stages(self) -> list[dict[str, Any]]:
        """Return what Spark's own status store knows of every stage that ran."""
        context: Any = self.spark.sparkContext
        java: Any = self.spark._jvm
        scala = context._jsc.sc()
        scala.listenerBus().waitUntilEmpty()
        store, empty = scala.statusStore(), java.java.util.ArrayList
        none = context._gateway.new_array(java.double, 0)
        listed = store.stageList(empty(), False, False, none, empty())
        return [self._stage(store, listed.apply(i)) for i in range(listed.size())]

    def _stage(self, store: Any, stage: Any) -> dict[str, Any]:
        return {
            "id": stage.stageId(),
            "what": ", ".join(_operators(store.operationGraphForStage(stage.stageId()))),
            "tasks": stage.numTasks(),
            "seconds": stage.executorRunTime() / 1e3,
            "cpu": stage.executorCpuTime() / 1e9,
            "gc": stage.jvmGcTime() / 1e3,
            "shuffled_mb": stage.shuffleWriteBytes() / 1e6,
            "spilled_mb": stage.diskBytesSpilled() / 1e6,
        }


def cpu_seconds() -> dict[int, tuple[float, int]]:
    """Return the CPU seconds and the parent of every process, by its number."""
    found: dict[int, tuple[float, int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "stat").read_text()
        except OSError:
            continue  # it ended meanwhile
        # The name stands in brackets and may hold blanks: what comes after it is counted.
        fields = text.rpartition(")")[2].split()
        found[int(path.name)] = (sum(map(int, fields[11:13])) / _TICKS, int(fields[1]))
    return found


def below(pid: int, found: Mapping[int, tuple[float, int]]) -> set[int]:
    """Return all processes that a process started, and those that they did."""
    known = {pid}
    while more := {p for p, (_, parent) in found.items() if parent in known} - known:
        known |= more
    return known - {pid}


def _operators(graph: Any) -> list[str]:
    """Return the names of Spark's operators in a stage, each once, in the order of the plan."""
    names: list[str] = []

    def walk(cluster: Any) -> None:
        children = cluster.childClusters()
        for i in range(children.size()):
            child = children.apply(i)
            if child.name() not in names:
                names.append(child.name())
            walk(child)

    walk(graph.rootCluster())
    return names
