#!/usr/bin/env python3
"""Stands in for spark-submit: notes how it was called and leaves the receipt it was told to.

FAKE_CALLS names the file that gets one line of JSON per call; FAKE_FAIL is the receipt's failure
as JSON, or empty; FAKE_DIES makes it end without a receipt, as a killed driver does.
"""

import json
import os
import sys

STEPS = ["ingest", "features", "check features", "score", "check scores", "publish", "report"]
SEEN = ("NIGHTSCORE_HOME", "NIGHTSCORE_USER", "NIGHTSCORE_ALERT_URL", "PYSPARK_PYTHON")


def main(arguments: list[str]) -> int:
    at = next(i for i, text in enumerate(arguments) if text.endswith("submit.py"))
    job = arguments[at + 1 :]
    call = {
        "submit": arguments[:at],
        "application": arguments[at],
        "job": [a for a in job if a != "--receipt" and not a.endswith("receipt.json")],
        "env": {name: os.environ.get(name) for name in SEEN},
    }
    with open(os.environ["FAKE_CALLS"], "a", encoding="utf-8") as calls:
        calls.write(json.dumps(call) + "\n")
    if os.environ.get("FAKE_DIES"):
        print("java.lang.OutOfMemoryError: Java heap space")
        return 137
    if os.environ.get("FAKE_EXIT_CODE_LINE"):
        print("exit code: 0")  # what a driver pod's watcher prints
    receipt = _receipt(job)
    if "--receipt" in job:
        with open(job[job.index("--receipt") + 1], "w", encoding="utf-8") as file:
            json.dump(receipt, file)
    return 1 if "failure" in receipt else 0


def _receipt(job: list[str]) -> dict[str, object]:
    failure = json.loads(os.environ.get("FAKE_FAIL") or "null")
    alone = [text.removeprefix("--step=") for text in job if text.startswith("--step=")]
    steps: dict[str, object] = {}
    for step in alone or STEPS:
        if failure and failure["step"] == step:
            return {"steps": steps, "failure": failure}
        steps[step] = {"seconds": 1.5, "note": "done"}
    published = {"run_id": "r1", "rows": 842, "ds": "2013-12-10", "status": "published"}
    return {"steps": steps, "published": published}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
