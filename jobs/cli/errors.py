"""How an error reaches a person: one message on stderr, and its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from feature_store.errors import NightscoreError
from feature_store.text import visible
from jobs.cli.explain import message_of
from jobs.machine.log_files import keep_trace, scrubbed
from models.errors import ModelError

INTERRUPTED = 130


def guarded(call: Callable[[], object]) -> int:
    """Return the exit code of `call`: 0 if it returns; nothing but SystemExit leaves this."""
    try:
        call()
    except KeyboardInterrupt:
        return interrupted()
    except Exception as error:
        return interrupted() if _is_of_an_interrupt(error) else told(error)
    return 0


def told(error: Exception) -> int:
    """Say what an error means to a person, and return its exit code."""
    is_ours = isinstance(error, NightscoreError | ModelError)
    _explain(error, message_of(error), is_foreign=not is_ours or _foreign_cause(error))
    return error.exit_code if isinstance(error, NightscoreError | ModelError) else 1


def interrupted() -> int:
    """Say what an interrupt leaves behind, and return its exit code."""
    say("interrupted. What was published stays; run the same command again to go on")
    return INTERRUPTED


def say(message: str) -> None:
    """Print a message of the program itself."""
    print(f"nightscore: {visible(scrubbed(message))}", file=sys.stderr)


def _is_of_an_interrupt(error: BaseException | None) -> bool:
    """Whether an error came up while an interrupt was being dealt with, as py4j's does."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _foreign_cause(error: BaseException) -> bool:
    """Whether an error of ours tells of one of Spark, MLflow or the system, with traces to keep."""
    cause = error.__cause__
    return cause is not None and not isinstance(cause, (NightscoreError, ModelError))


def _explain(error: Exception, message: str, *, is_foreign: bool) -> None:
    """Say the message, and where the traces are: on stderr if asked for, else in a file."""
    if os.environ.get("NIGHTSCORE_DEBUG") not in (None, "", "0"):
        sys.stderr.write(scrubbed("".join(traceback.format_exception(error))))
        say(message)
        return
    file = keep_trace(error) if is_foreign else None
    kept = f". Traces: {file}" if file else " (--debug shows where)"
    say(f"{message.rstrip('.')}{kept}" if is_foreign else message)
