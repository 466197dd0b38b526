"""How an error reaches a person: one message on stderr, and its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from feature_store.errors import NightscoreError
from feature_store.text import visible
from models.errors import ModelError

INTERRUPTED = 130


def guarded(call: Callable[[], object]) -> int:
    """Return the exit code of `call`: 0 if it returns; nothing but SystemExit leaves this."""
    try:
        call()
    except KeyboardInterrupt:
        return interrupted()
    except (NightscoreError, ModelError) as error:
        _explain(error, str(error))
        return error.exit_code
    except Exception as error:  # the last line of defence: one message here too
        return interrupted() if _is_of_an_interrupt(error) else explained(error)
    return 0


def explained(error: Exception) -> int:
    """Say what an error that nobody expected means, and return its exit code."""
    first = str(error).strip().splitlines()
    message = f"unexpected {type(error).__name__}: {first[0] if first else ''}"
    _explain(error, f"{message} (--debug or NIGHTSCORE_DEBUG=1 shows where)")
    return 1


def interrupted() -> int:
    """Say what an interrupt leaves behind, and return its exit code."""
    say("interrupted. What was published stays; run the same command again to go on")
    return INTERRUPTED


def say(message: str) -> None:
    """Print a message of the program itself."""
    print(f"nightscore: {visible(message)}", file=sys.stderr)


def _is_of_an_interrupt(error: BaseException | None) -> bool:
    """Whether an error came up while an interrupt was being dealt with, as py4j's does."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _explain(error: Exception, message: str) -> None:
    if os.environ.get("NIGHTSCORE_DEBUG") not in (None, "", "0"):
        traceback.print_exception(error)
    say(message)
