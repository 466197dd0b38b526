"""A fit on this machine: a process of the jobs' environment, without Spark or Java."""

from __future__ import annotations

import logging
import os
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dags import _fit_command
from dags._failures import MALFORMED, read_receipt, with_failure
from dags._fit_place import Here
from dags._runner import ROOT, jobs_environment

log = logging.getLogger(__name__)

LAST_LINES = 20
SHUTDOWN_SECONDS = 300
"""How long torchrun, asked to stop, waits for the checkpoint of its processes."""


class Fit:
    """One fit: started once, asked to stop if its task is killed."""

    def __init__(self, place: Here, arguments: Sequence[str]) -> None:
        """Start nothing yet."""
        self._place = place
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> dict[str, Any]:
        """Run it to its end and return its receipt, in which `failure` says why it failed, if so.

        What it prints is logged as it comes.
        """
        with TemporaryDirectory(prefix="nightscore-") as folder:
            path = Path(folder, "receipt.json")
            last: deque[str] = deque(maxlen=LAST_LINES)
            with subprocess.Popen(
                [*self.command(), f"--receipt={path}"],
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
                errors="replace",
                # It outlives the seconds that Airflow gives a task that is killed: its checkpoint
                # takes longer.
                start_new_session=True,
            ) as self._process:
                assert self._process.stdout is not None  # noqa: S101 - it is a pipe
                for line in self._process.stdout:
                    last.append(line.rstrip())
                    log.info("%s", last[-1])
            code = self._process.returncode
            receipt = read_receipt(path)
        if code == 0:
            return receipt
        ended = "\n".join([*last, f"exit code {code}"])
        return with_failure(receipt, ended, final=code == MALFORMED)

    def command(self) -> list[str]:
        """Return what is started, without its receipt."""
        python = self._place.python or str(jobs_environment() / "bin" / "python")
        device = [f"--device={self._place.device}"] if self._place.device else []
        return [*_fit_command.here(python, self._place.processes), *self._arguments, *device]

    def kill(self) -> None:
        """Ask it to stop; it leaves a checkpoint, from which the same command goes on."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()


def _environment() -> dict[str, str]:
    """Return this process's environment with our code on the path, and time for a checkpoint."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SHUTDOWN_SECONDS),
    }
