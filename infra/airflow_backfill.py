"""Airflow's own backfill of a nightly DAG, with its traps closed.

Left to itself, `airflow backfill create` waits for ever on a paused DAG, does nothing for a day
that has a run already, leaves out the last day, whose run begins after its midnight, and makes
runs of days that the DAG does not have. What is to be done is still decided by the nights
themselves: one that is up to date writes nothing.

    infra/airflow.sh backfill flights --from 2013-12-01 --to 2013-12-03
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date

from dags._pipelines import Pipeline, pipelines

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_PIPELINE = re.compile(r"[a-z][a-z0-9_]*\Z")


class Refused(Exception):
    """The backfill would wait for ever or do nothing; the message says what to do instead."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Create the backfill and return 0, or say why not and return 2."""
    options = _options(arguments)
    dag_id = f"nightly_{options.pipeline}"
    try:
        require_days({each.name: each for each in pipelines()}, options)
        require_active(dag_id, _dag(dag_id))
        run(["airflow", *command(dag_id, options)])
    except Refused as refusal:
        print(f"airflow backfill: {refusal}", file=sys.stderr)
        return 2
    print(f"airflow backfill: {dag_id} from {options.first} to {options.last}: created")
    return 0


def command(dag_id: str, options: argparse.Namespace) -> list[str]:
    """Return the arguments of `airflow` that do what was meant."""
    conf = {"model": options.model, "force": options.force, "reason": options.reason}
    return [
        "backfill",
        "create",
        f"--dag-id={dag_id}",
        f"--from-date={options.first}T00:00:00+00:00",
        # A night's run begins after the midnight of its day: to the end of the last day, then.
        f"--to-date={options.last}T23:59:59+00:00",
        f"--max-active-runs={options.max_active_runs}",
        # By default a day that has a run is left out, without a word.
        f"--reprocess-behavior={'failed' if options.only == 'failed' else 'completed'}",
        f"--dag-run-conf={json.dumps(conf)}",
    ]


def require_active(dag_id: str, dag: dict[str, object]) -> None:
    """Refuse what Airflow would accept and never finish.

    Raises:
        Refused: the DAG is paused.
    """
    if str(dag.get("is_paused")).lower() != "false":
        raise Refused(
            f"{dag_id} is paused, and a backfill of a paused DAG waits for ever. Switch it on: "
            f"infra/airflow.sh cli dags unpause {dag_id} (it then also runs on its schedule)"
        )


def require_days(known: Mapping[str, Pipeline], options: argparse.Namespace) -> None:
    """Refuse a pipeline that there is not, and days that it does not have.

    Raises:
        Refused: there is no such pipeline, or such a day.
    """
    pipeline = known.get(options.pipeline)
    if pipeline is None:
        raise Refused(f"pipeline {options.pipeline!r} is unknown; there are: {', '.join(known)}")
    last = pipeline.last_day or date.max
    if options.first < pipeline.first_day or options.last > last:
        raise Refused(
            f"--from={options.first} --to={options.last}: pipeline {pipeline.name} has days "
            f"{pipeline.first_day} to {pipeline.last_day or 'today'}"
        )


def run(arguments: Sequence[str]) -> str:
    """Run a command and return its output.

    Raises:
        Refused: it failed; the message is the last thing it said.
    """
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Refused(said[-1] if said else f"{arguments[0]} failed")
    return done.stdout


def parse_details(output: str) -> dict[str, object]:
    """Return the DAG that `airflow dags details` printed, warnings around it left out."""
    found = [line for line in output.splitlines() if line.startswith("[{")]
    if not found:
        raise Refused(f"airflow dags details printed no DAG: {output[-200:]!r}")
    return dict(json.loads(found[-1])[0])


def _dag(dag_id: str) -> dict[str, object]:
    return parse_details(run(["airflow", "dags", "details", dag_id, "--output=json"]))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="infra/airflow.sh backfill",
        description=(__doc__ or "").partition("\n\n")[0],
        epilog="Many days at less cost: the DAG backfill_PIPELINE, or `nightscore backfill`.",
    )
    parser.add_argument("pipeline", type=_name)
    parser.add_argument("--from", dest="first", type=_day, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--to", dest="last", type=_day, required=True, metavar="YYYY-MM-DD")
    parser.add_argument("--model", default="champion")
    parser.add_argument("--reason", default="airflow backfill")
    parser.add_argument("--force", action="store_true", help="also days that are up to date")
    parser.add_argument("--only", choices=("all", "failed"), default="all")
    parser.add_argument("--max-active-runs", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.last < options.first:
        parser.error(f"--from={options.first} --to={options.last}: must not be after --to")
    return options


def _name(text: str) -> str:
    if not _PIPELINE.match(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be the name of a pipeline")
    return text


def _day(text: str) -> date:
    if not _DAY.match(text):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a date written YYYY-MM-DD")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
