"""How fast an epoch goes, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from models.training.config import Pace

PACE_SECONDS = 30.0
"""How often an epoch says how far it is."""


@dataclass
class EpochWatch:
    """Watches one epoch, from the step where it was begun or gone on with."""

    epoch: int
    before: int
    """Steps taken in it before."""
    steps: int
    batch_size: int
    """Rows of a step, over all processes."""
    rows: int
    """Rows of an epoch, over all processes."""
    on_pace: Callable[[Pace], None] = lambda _: None
    _begun: float = field(default_factory=time.monotonic)
    _said: float = field(default_factory=time.monotonic)

    def rows_per_second(self, step: int) -> float:
        """Return the rows learned from by the second, of all processes, up to a step."""
        rows = min((step - self.before) * self.batch_size, self.rows)
        return rows / max(time.monotonic() - self._begun, 1e-9)

    def after_step(self, step: int) -> None:
        """Say how far it is, if nobody did for a while."""
        now = time.monotonic()
        if now - self._said < PACE_SECONDS:
            return
        self._said = now
        each = (now - self._begun) / (step - self.before)
        pace = Pace(
            epoch=self.epoch, step=step, steps=self.steps,
            rows_per_second=self.rows_per_second(step), seconds_left=each * (self.steps - step),
        )  # fmt: skip
        self.on_pace(pace)
