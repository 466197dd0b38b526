"""What every run of a command took and how it ended: for `status`, and for the estimates of `plan`.

One line of JSON a run, in a file a month below the home. No step reads it, and a run whose line
cannot be written is no worse for it. An object store has no such files: nothing appends there.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from feature_store.home import Home

log = logging.getLogger(__name__)

RUNS = "runs"
_ERROR_LENGTH = 2000

Kind = Literal["night", "score", "features", "prepare", "backfill", "step"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run of a command over days of a pipeline."""

    kind: Kind
    started_at: datetime
    """UTC."""
    seconds: float
    """Wall seconds from the command's start to its end, Spark's start included."""
    steps: Mapping[str, float]
    """Seconds of each step that ended."""
    outcome: str
    """`published`, `already published`, `done`, `failed` or `interrupted`."""
    error: str = ""
    days: Mapping[str, str] = field(default_factory=dict)
    """Day -> how it ended, in the words of `outcome`."""
    rows: int = 0
    who: str = ""
    why: str = ""

    @property
    def worked(self) -> int:
        """Days that were published now."""
        return sum(outcome == "published" for outcome in self.days.values())

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps({**asdict(self), "started_at": self.started_at.isoformat()})

    @classmethod
    def from_json(cls, text: str) -> RunRecord:
        """Return the record that `to_json` wrote; what a later release added is left out."""
        names = {one.name for one in fields(cls)}
        found = {name: value for name, value in json.loads(text).items() if name in names}
        return cls(**{**found, "started_at": datetime.fromisoformat(found["started_at"])})


@dataclass
class Run:
    """A run at work: what is known of it so far."""

    days: dict[str, str]
    steps: dict[str, float] = field(default_factory=dict)
    outcome: str = "done"
    rows: int = 0


@contextmanager
def recorded(
    home: Home, pipeline: str, kind: Kind, days: Sequence[date], *, who: str, why: str = ""
) -> Iterator[Run]:
    """Yield a run to be filled in, and keep it however it ends.

    Every day of `days` that has no outcome of its own ended as the run did.
    """
    run, started, clock = Run(days={}), datetime.now(UTC), time.monotonic()
    error = ""
    try:
        yield run
    except BaseException as raised:
        run.outcome = "interrupted" if isinstance(raised, KeyboardInterrupt) else "failed"
        error = str(raised).strip()[:_ERROR_LENGTH] or type(raised).__name__
        raise
    finally:
        outcomes = {day.isoformat(): run.outcome for day in days} | run.days
        _append(
            home,
            pipeline,
            RunRecord(
                kind=kind, started_at=started, seconds=round(time.monotonic() - clock, 3),
                steps=run.steps, outcome=run.outcome, error=error, days=outcomes, rows=run.rows,
                who=who, why=why,
            ),
        )  # fmt: skip


def past_runs(home: Home, pipeline: str, most: int = 500) -> list[RunRecord]:
    """Return the newest runs of a pipeline, `most` at most, oldest first."""
    if not home.is_local:
        return []
    folder = home.local_path(RUNS, pipeline)
    found: list[RunRecord] = []
    for file in sorted(folder.glob("*.jsonl"), reverse=True) if folder.is_dir() else ():
        found = [*_read(file), *found]
        if len(found) >= most:
            break
    return found[-most:]


def _read(file: Path) -> Iterator[RunRecord]:
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            yield RunRecord.from_json(line)
        except (ValueError, KeyError, TypeError) as error:  # a full disk or a kill cut it short
            log.warning("file=%s: a line is no record of a run and is left out: %s", file, error)


def _end_of_last_line(lines: IO[bytes]) -> str:
    """Return the line end that a full disk or a kill kept from being written, if one did."""
    if lines.seek(0, os.SEEK_END) == 0:
        return ""
    lines.seek(-1, os.SEEK_END)
    return "" if lines.read(1) == b"\n" else "\n"


def _append(home: Home, pipeline: str, record: RunRecord) -> None:
    if not home.is_local:
        return
    file = home.local_path(RUNS, pipeline, f"{record.started_at:%Y-%m}.jsonl")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as lines:
            fcntl.flock(lines, fcntl.LOCK_EX)
            lines.write(f"{_end_of_last_line(lines)}{record.to_json()}\n".encode())
    except OSError as error:
        log.warning("file=%s: the record of this run is lost; no data is: %s", file, error)
