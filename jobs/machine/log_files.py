"""Where traces go, so that a person is told one message: files that are turned over, no secrets."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from feature_store.errors import UsageError
from feature_store.home import Home

LOGS = "logs"
_MOST_BYTES = 2_000_000
_KEPT = 3

_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|_KEY\b|_KEY_|API_?KEY", re.I)
_USER_INFO = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*(?=@)")
_ASSIGNED = re.compile(
    r"(?i)\b([\w.-]*(?:password|passwd|secret|token|credential|api[_-]?key|access[_-]?key)[\w.-]*)"
    r"(['\"]?\s*[=:]\s*)(['\"]?)[^\s'\"&;,]+"
)
_HIDDEN = "***"


def logs_folder() -> Path | None:
    """Return a folder for logs that can be written: below the home, else the user's own, else None.

    The user's own is `$XDG_STATE_HOME/nightscore/logs`, by default below `~/.local/state`.
    """
    for folder in _candidates():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
    return None


def keep_trace(error: BaseException) -> Path | None:
    """Write an error with its traces to `errors.log` and return that file; None if it cannot be."""
    folder = logs_folder()
    if folder is None:
        return None
    file = folder / "errors.log"
    trace = "".join(traceback.format_exception(error))
    try:
        handler = RotatingFileHandler(
            file, maxBytes=_MOST_BYTES, backupCount=_KEPT, encoding="utf-8", errors="replace"
        )
        handler.setFormatter(logging.Formatter("%(asctime)s process=%(process)d %(message)s"))
        handler.handleError = _raise_it  # type: ignore[method-assign]
        text = scrubbed(f"{' '.join(sys.argv)}\n{trace}")
        handler.emit(logging.LogRecord("nightscore", logging.ERROR, "", 0, text, None, None))
        handler.close()
    except OSError:
        return None
    return file


def scrubbed(text: str) -> str:
    """Return `text` without passwords: of URLs, of `password=…`, and what the environment holds."""
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, _HIDDEN)
    text = _USER_INFO.sub(f"{_HIDDEN}:{_HIDDEN}", text)
    return _ASSIGNED.sub(rf"\1\2\3{_HIDDEN}", text)


def _candidates() -> list[Path]:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    own = state / "nightscore" / LOGS
    try:
        home = Home.from_env()
    except UsageError:
        return [own]
    return [home.local_path(LOGS), own] if home.is_local else [own]


def _raise_it(record: logging.LogRecord) -> None:
    """Let a line that cannot be written be known here, and not on stderr."""
    error = sys.exc_info()[1]
    if error is not None:
        raise error
