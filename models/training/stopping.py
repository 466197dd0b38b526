"""A wish to stop: SIGTERM, as a spot node or a scheduler sends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from models.errors import Stopped


@dataclass
class Stop:
    """Whether a training is to stop, and whether that can wait until its next step ends."""

    is_asked: bool = False
    _is_held: bool = False

    def ask(self, *_: int | FrameType | None) -> None:
        """Ask for it; where nothing holds it back, it stops here and now.

        Raises:
            Stopped: nothing holds it back.
        """
        self.is_asked = True
        if not self._is_held:
            raise Stopped(" outside its steps")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a wish back during the block; who holds it looks at `is_asked`."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False


@contextmanager
def stopping_at_sigterm() -> Iterator[Stop]:
    """Yield what SIGTERM asks during the block; only the main thread is ever asked."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, stop.ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
