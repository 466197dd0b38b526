#!/usr/bin/env python3
"""Stands in for the interpreter that fits: notes how it was called, prints, leaves a receipt.

FAKE_CALLS names the file that gets one line of JSON per call; FAKE_RECEIPT is the receipt, or
empty for none; FAKE_CODE is its exit code; with FAKE_WAITS it runs until it gets SIGTERM, and then
ends with 143, as a fit does.
"""

import json
import os
import signal
import sys

SEEN = ("PYTHONPATH", "NIGHTSCORE_HOME", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT")
STOPPED = {"step": "", "error": "Stopped", "text": "stopped by SIGTERM", "final": False}


def main(arguments: list[str]) -> int:
    *told, receipt = arguments
    place = receipt.removeprefix("--receipt=")
    call = {"arguments": told, "env": {name: os.environ.get(name) for name in SEEN}}
    with open(os.environ["FAKE_CALLS"], "a", encoding="utf-8") as calls:
        calls.write(json.dumps(call) + "\n")
    if os.environ.get("FAKE_WAITS"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        print("epoch 1", flush=True)
        signal.sigwait([signal.SIGTERM])
        with open(place, "w", encoding="utf-8") as file:
            json.dump({"steps": {}, "failure": STOPPED}, file)
        return 143
    print("epoch 1\nnightscore-fit: the last line")
    if os.environ.get("FAKE_RECEIPT"):
        with open(place, "w", encoding="utf-8") as file:
            file.write(os.environ["FAKE_RECEIPT"])
    return int(os.environ.get("FAKE_CODE") or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
