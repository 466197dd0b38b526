"""What a job that failed says: read from its receipt, or from what it printed last."""

from __future__ import annotations

import json
import logging
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

log = logging.getLogger(__name__)

SPOKEN = ("nightscore: ", "nightscore-fit: ")
"""What the messages of our programs begin with."""
MALFORMED = 2
"""Exit code of a request that is itself wrong: a repeat would be, too."""


def failure_text(failure: Mapping[str, Any]) -> str:
    """Return which error stopped which step, in one line for a person."""
    step = f" in step `{failure['step']}`" if failure["step"] else ""
    return f"{failure['error']}{step}: {failure['text']}"


def failure_lines(failure: Mapping[str, Any]) -> list[str]:
    """Return the same as lines that a log shows whole: the UI does not wrap them."""
    return textwrap.wrap(failure_text(failure), 80, break_on_hyphens=False)


def raise_failure(failure: Mapping[str, Any]) -> None:
    """Log and raise what failed; without retries if a repeat would fail in the same way."""
    for line in failure_lines(failure):
        log.error("%s", line)
    kind = AirflowFailException if failure["final"] else AirflowException
    raise kind(failure_text(failure))


def read_receipt(path: Path) -> dict[str, Any]:
    """Return what a job left; nothing is known of one that left nothing."""
    try:
        receipt: dict[str, Any] = json.loads(path.read_text(encoding="utf-8") or '{"steps": {}}')
    except FileNotFoundError:
        return {"steps": {}}
    return receipt


def with_failure(receipt: dict[str, Any], output: str, *, final: bool = False) -> dict[str, Any]:
    """Return the receipt; if it names no failure, what the job printed last is the reason."""
    if "failure" in receipt:
        return receipt
    said = [line for line in output.splitlines() if line.startswith(SPOKEN)]
    error = "ApplicationDied" if not said else "ApplicationFailed"
    text = said[-1].partition(": ")[2] if said else output
    return {**receipt, **failed(error, text, final=final)}


def failed(error: str, text: str, *, final: bool = False) -> dict[str, Any]:
    """Return what a receipt has of a job that failed as a whole."""
    return {"failure": {"step": "", "error": error, "text": text, "final": final}}
