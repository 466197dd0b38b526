"""Where logging is set up: key=value lines on stderr, ours by level, other libraries quiet."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from typing import TextIO

from feature_store.errors import UsageError
from feature_store.text import visible

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
OURS = ("feature_store", "jobs", "models")

_FORMAT = "time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is now: a live progress line stands in for it while shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def configure(verbose: bool = False) -> None:
    """Send our log lines to stderr from `NIGHTSCORE_LOG` (WARNING) or, if verbose, INFO upward.

    Raises:
        UsageError: NIGHTSCORE_LOG is not a level.
    """
    level = os.environ.get("NIGHTSCORE_LOG", "").upper() or ("INFO" if verbose else "WARNING")
    if level not in LEVELS:
        raise UsageError(f"NIGHTSCORE_LOG={level!r}: must be one of {', '.join(LEVELS)}")
    handler = _Stderr()
    handler.setFormatter(_formatter())
    # Some libraries set the level of their own loggers, so the level alone does not quieten them.
    handler.addFilter(_is_for_a_person)
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    if level != "DEBUG":
        # Deprecations inside libraries are for whoever upgrades them, not for an operator.
        warnings.simplefilter("ignore", category=DeprecationWarning)
        warnings.simplefilter("ignore", category=FutureWarning)


def _is_for_a_person(record: logging.LogRecord) -> bool:
    """Keep what is ours, and the errors of others but for py4j's page on a ctrl-C."""
    if record.name.partition(".")[0] in OURS:
        return True
    is_interrupt = record.exc_info is not None and record.exc_info[0] is KeyboardInterrupt
    return record.levelno >= logging.ERROR and not is_interrupt


class _Lines(logging.Formatter):
    """One record a line, whatever it quotes; only a traceback below it has lines of its own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the record's line."""
        return visible(super().formatMessage(record))


def _formatter() -> logging.Formatter:
    formatter = _Lines(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    return formatter
