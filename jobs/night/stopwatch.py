"""Seconds by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

OnStep = Callable[[str, float], None]
"""Called at the end of a step with its name and seconds."""


@dataclass
class Stopwatch:
    """Seconds by step, told to a listener as each step ends."""

    on_step: OnStep
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure the block as one step; a step that is done again counts in all."""
        start = time.monotonic()
        yield
        spent = round(time.monotonic() - start, 3)
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
        self.on_step(name, spent)
