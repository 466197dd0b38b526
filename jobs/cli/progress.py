"""Progress on stderr: a live line per step on a terminal, one plain line per finished step else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from feature_store.text import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Live
    from rich.progress import TaskID


class Progress:
    """Says what is being done and what it took; results never go through here."""

    def __init__(self, steps: Sequence[str] = ()) -> None:
        """Show nothing yet.

        Args:
            steps: what is expected to come, in order, where only the end of a step is told.
        """
        self._expected = list(steps)
        self._within: list[str] = []
        self.now = ""
        """The step that is being done, as far as is known."""
        self._since = time.monotonic()
        self.last_line = time.monotonic()
        """When a line was last printed."""
        self._console: Console | None = None
        self._live: Live | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        """Start the live line, on a terminal."""
        if sys.stderr.isatty():
            self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the live line away; finished steps stay."""
        self.close()

    @property
    def is_live(self) -> bool:
        """Whether there is a line that can be written over."""
        return self._live is not None

    @property
    def seconds(self) -> float:
        """How long the step that is being done has taken so far."""
        return time.monotonic() - self._since

    def detail(self, text: str) -> None:
        """Show beside the step what it is doing; only on a terminal."""
        if self._live is not None and self._task is not None:
            name = f"{self.now}: {text}" if text else self.now
            self._live.update(self._task, description=visible(name))

    def close(self) -> None:
        """Take the live line away for good, so that results can be printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def result(self, line: str) -> None:
        """Print a line of result to stdout, in the midst of the work."""
        if self._live is not None:
            self._live.stop()
        print(visible(line), flush=True)
        if self._live is not None:
            self._live.start()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show the block as one step."""
        self._now(name)
        self._within.append(name)
        start = time.monotonic()
        try:
            yield
        finally:
            self._within.pop()
        self.on_step(name, time.monotonic() - start)
        if self._within and not self._expected:
            self._now(self._within[-1])

    def on_step(self, name: str, seconds: float) -> None:
        """Tell that a step ended; the next one expected is shown."""
        self.note(f"{name:<16} {seconds:6.1f} s")
        if name in self._expected:
            del self._expected[: self._expected.index(name) + 1]
        if self._expected:
            self._now(self._expected[0])

    def expect(self, *steps: str) -> None:
        """Say what comes now, in order; the first of it is shown."""
        self._expected = list(steps)
        self._now(steps[0])

    def note(self, line: str) -> None:
        """Print a line that stays; that nobody reads it any more stops no work."""
        self.last_line = time.monotonic()
        if self._console is not None:
            from rich.text import Text

            self._console.print(Text(visible(line), style="dim"), soft_wrap=True)
        else:
            with suppress(BrokenPipeError):
                print(visible(line), file=sys.stderr, flush=True)

    def _now(self, name: str) -> None:
        self.now, self._since = name, time.monotonic()
        if self._live is not None and self._task is not None:
            self._live.reset(self._task, description=visible(name))

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import Progress as Live
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        self._live = Live(
            *columns,
            console=self._console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,  # or results would end up on stderr
        )
        self._task = self._live.add_task("starting", total=None)
        self._live.start()
