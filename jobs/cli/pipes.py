"""What happens when whoever reads stdout has enough, as `head` does: nothing, and no error."""

from __future__ import annotations

import io
import os
import select
import sys


def encode_anything() -> None:
    """Let text that the terminal's encoding lacks come out as escapes, and never as an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(1, select.POLLOUT)
        return any(events & select.POLLERR for _, events in poll.poll(0))
    except OSError:
        return False


def discard_the_rest() -> None:
    """Send what is still to come on stdout nowhere: Python would complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
