"""Where Java may say something: on stderr, and all but one line that is about nothing.

Spark's launcher asks Java for its incubating vector module and offers no way not to; Java then
warns of it at every start. And Delta prints on stdout what VACUUM deleted, between our results.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NOISE = b"WARNING: Using incubator modules: jdk.incubator.vector\n"


@contextmanager
def quiet_start() -> Iterator[None]:
    """Let processes that are started within the block say all on our stderr, but the one line.

    They keep it so for their life: a thread passes on what they say, as it comes.
    """
    out, own = os.dup(1), os.dup(2)
    reads, writes = os.pipe()
    os.dup2(writes, 1)
    os.dup2(writes, 2)
    os.close(writes)
    threading.Thread(target=pass_on, args=(reads, own), daemon=True).start()
    try:
        yield
    finally:
        os.dup2(own, 2)
        os.dup2(out, 1)
        os.close(out)


def pass_on(reads: int, to: int) -> None:
    """Copy what is read to `to` until nobody writes any more, without the noise."""
    held = b""
    with os.fdopen(reads, "rb", buffering=0) as source:
        while chunk := source.read(65536):
            text = (held + chunk).replace(NOISE, b"")
            held = _begun(text)
            _write(to, text[: len(text) - len(held)])
    _write(to, held)


def _begun(text: bytes) -> bytes:
    """Return the end of `text` that may be the beginning of the noise."""
    for length in range(min(len(NOISE) - 1, len(text)), 0, -1):
        if NOISE.startswith(text[-length:]):
            return text[-length:]
    return b""


def _write(to: int, text: bytes) -> None:
    try:
        while text:
            text = text[os.write(to, text) :]
    except OSError:  # nobody reads stderr any more; the work goes on
        pass
