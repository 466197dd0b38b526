"""What happens when a task fails for good or a night is late: a line that names it, and a webhook.

`NIGHTSCORE_ALERT_URL` receives each message as JSON (`{"text": ...}`, what chat services read).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import urllib.request
from typing import Any

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5


def name_the_failure(context: Any) -> None:
    """Log, and post, what failed: the DAG, the day, the step and the job's own message."""
    ti = context["ti"]
    day = context.get("ds") or context["run_id"]
    error = str(context.get("exception") or "no reason known").strip()
    alert(f"nightscore failed: dag={ti.dag_id} ds={day} task={ti.task_id}: {error}")


async def name_the_delay(context: Any, pipeline: str) -> None:
    """Log, and post, that a night missed its deadline; runs in the triggerer.

    A day scored again is late by nature: only a night on its schedule has a deadline to keep.
    """
    run, deadline = context["dag_run"], context["deadline"]
    if run["run_type"] != "scheduled":
        log.info("dag_run=%s run_type=%s has no deadline", run["dag_run_id"], run["run_type"])
        return
    text = (
        f"nightscore late: pipeline={pipeline} ds={str(run['logical_date'])[:10]} "
        f"is {run['state']} and was due at {deadline['deadline_time']}"
    )
    await asyncio.to_thread(alert, text)


def alert(text: str) -> None:
    """Log the message and post it where NIGHTSCORE_ALERT_URL says; a post that fails is logged."""
    log.error("%s", text)
    url = os.environ.get("NIGHTSCORE_ALERT_URL", "")
    if not url.startswith(("https://", "http://")):
        return
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(  # noqa: S310  the scheme is checked above
        url, body, {"Content-Type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()  # noqa: S310
    except OSError as error:
        log.warning("alert was not posted: %s", type(error).__name__)
