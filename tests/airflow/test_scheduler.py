"""Nights through a real scheduler on the real components, beside the same nights by the CLI."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store import definitions
from feature_store.home import Home
from tests.airflow.server import ROOT, Airflow, clean_environment, copy_of_the_code

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1800)]

DAG = "nightly_flights"
FAILING, ONE, MORE = "2013-11-28", "2013-11-29", ["2013-11-30", "2013-12-01", "2013-12-02"]
CHANGED = "feature_store/definitions/flights.py"
CHANGES = {
    # Thanksgiving has 634 flights, the Friday after it 661: a check between them stops one night.
    'Check(stage="features", kind="row_count", minimum=400, maximum=1_500)': (
        'Check(stage="features", kind="row_count", minimum=650, maximum=1_500)'
    ),
    # A week is enough to learn from for what is looked at here.
    "validation_days=21": "validation_days=2",
}
TRAINING = ("--from=2013-11-20", "--to=2013-11-25", "--eval-to=2013-11-27", "--model=lr")


@dataclass(frozen=True)
class Nights:
    """What was scored in both ways."""

    airflow: Airflow
    by_cli: Path


def nightscore(code: Path, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line of a checkout on a home."""
    return subprocess.run(
        [ROOT / ".venv" / "bin" / "python", "-m", "jobs.cli.app", *arguments],
        env=clean_environment(NIGHTSCORE_HOME=str(home), PYTHONPATH=str(code)),
        cwd=code, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Two homes with the same data and model: Airflow runs on one, the CLI on the other."""
    if not (ROOT / ".venv-airflow" / "bin" / "airflow").exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    base = tmp_path_factory.mktemp("airflow")
    home, by_cli = base / "home", base / "by_cli"
    code = copy_of_the_code(base / "code", CHANGED, CHANGES)
    airflow = Airflow(code, home)
    airflow.start()
    try:
        # The gate may refuse so small a model; it is promoted past it.
        trained = nightscore(code, home, "train", "--pipeline=flights", *TRAINING)
        promote = ("models", "promote", "1", "--pipeline=flights", "--why=a test")
        promoted = nightscore(code, home, *promote)
        assert promoted.returncode == 0, trained.stderr + promoted.stderr
        shutil.copytree(home, by_cli, ignore=shutil.ignore_patterns("airflow*"))
        airflow.wait_until_ready()
        yield Nights(airflow, by_cli)
    finally:
        airflow.stop()


def test_nothing_is_switched_on_by_itself_and_the_way_in_is_told(nights: Nights) -> None:
    dags = nights.airflow.call("GET", "/api/v2/dags?exclude_stale=false")["dags"]
    assert len(dags) >= 7
    assert all(dag["is_paused"] for dag in dags)
    errors = nights.airflow.call("GET", "/api/v2/importErrors")["import_errors"]
    assert errors == []
    said = nights.airflow.said()
    assert f"ready at http://localhost:{nights.airflow.port}" in said
    assert "simple_auth_manager_passwords.json.generated" in said


def test_a_backfill_of_a_paused_dag_is_refused(nights: Nights) -> None:
    done = nights.airflow.script("backfill", "flights", f"--from={ONE}", f"--to={ONE}")
    assert done.returncode == 2
    assert f"{DAG} is paused" in done.stderr


def test_a_failed_check_stops_the_night_and_is_named(nights: Nights) -> None:
    airflow = nights.airflow
    airflow.switch_on(DAG)
    run_id = airflow.trigger(DAG, FAILING)
    assert airflow.wait_for_runs(DAG, [FAILING], 600) == {FAILING: "failed"}
    tasks = airflow.tasks(DAG, run_id)
    assert {name for name, task in tasks.items() if task["state"] == "failed"} == {"check_features"}
    assert tasks["check_features"]["try_number"] == 1, "the same rows would fail again"
    assert tasks["publish"]["state"] == "upstream_failed"
    log = airflow.log(DAG, run_id, "score.check_features")
    assert "nightscore failed: dag=nightly_flights ds=2013-11-28" in log
    assert "row_count" in log
    page = airflow.home / "reports" / "flights" / f"{FAILING}.html"
    assert page.exists(), "a night that was stopped has a report too"


def test_a_night_and_a_backfill_publish_the_scores_that_the_command_line_does(
    nights: Nights, spark: SparkSession
) -> None:
    airflow = nights.airflow
    airflow.trigger(DAG, ONE, reason="one night")
    assert airflow.wait_for_runs(DAG, [ONE], 600) == {ONE: "success"}
    span = (f"--from={MORE[0]}", f"--to={MORE[-1]}")
    done = airflow.script("backfill", "flights", *span, "--reason=three more")
    assert done.returncode == 0, done.stderr
    assert airflow.wait_for_runs(DAG, MORE, 1200) == dict.fromkeys(MORE, "success")

    span = (f"--from={ONE}", f"--to={MORE[-1]}")
    by_hand = nightscore(airflow.code, nights.by_cli, "backfill", "--pipeline=flights", *span)
    assert by_hand.returncode == 0, by_hand.stderr

    for day in (ONE, *MORE):
        ours, theirs = (scores(spark, home, day) for home in (airflow.home, nights.by_cli))
        assert len(ours) > 600
        assert ours == theirs, day
    assert reasons(spark, airflow.home, ONE) == ["one night"]
    assert reasons(spark, airflow.home, MORE[0]) == ["three more"]


def test_scores_are_assets_with_the_run_that_made_them(nights: Nights) -> None:
    events = nights.airflow.call("GET", "/api/v2/assets/events?limit=50")["asset_events"]
    published = {event["extra"]["ds"]: event for event in events if event["extra"].get("run_id")}
    assert set(published) == {ONE, *MORE}
    assert {event["uri"] for event in published.values()} == {"nightscore://scores/flights"}
    assert all(event["extra"]["rows"] > 600 for event in published.values())


def test_a_step_cleared_alone_runs_alone(nights: Nights) -> None:
    airflow = nights.airflow
    run_id = airflow.runs(DAG)[ONE]["dag_run_id"]
    cleared = airflow.clear(DAG, run_id, "score.check_scores")
    assert cleared == ["score.check_scores"]
    assert airflow.wait_for_runs(DAG, [ONE], 600) == {ONE: "success"}
    tasks = airflow.tasks(DAG, run_id)
    tries = {name: task["try_number"] for name, task in tasks.items() if name != "ask_for_training"}
    assert tries.pop("check_scores") == 2
    assert set(tries.values()) == {1}
    log = airflow.log(DAG, run_id, "score.check_scores")
    assert "runs in a Spark application of its own" in log


def test_a_task_links_to_its_report_which_airflow_serves_behind_its_login(nights: Nights) -> None:
    airflow = nights.airflow
    run_id = airflow.runs(DAG)[ONE]["dag_run_id"]
    path = f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances/score.publish/links"
    links = airflow.call("GET", path)["extra_links"]
    page = f"/nightscore/reports/flights/{ONE}.html"
    host = f"http://localhost:{airflow.port}"
    assert links == {"Report": f"{host}{page}", "Scores": f"{host}{page}#scores"}
    assert "<html" in airflow.call("GET", page)
    assert "flights/index.html" in airflow.call("GET", "/nightscore/reports/index.html")
    token, airflow._token = airflow._token, ""
    with pytest.raises(AssertionError, match="401"):
        airflow.call("GET", page)
    airflow._token = token
    for wrong in ("/nightscore/reports/flights/nothing.html", "/nightscore/reports/../x.html"):
        with pytest.raises(AssertionError, match="404"):
            airflow.call("GET", wrong)


def scores(spark: SparkSession, home: Path, day: str) -> list[dict[str, object]]:
    """Return the published scores of a day, ordered by key.

    Without their run's id: that pins versions of tables, which count commits, and a backfill
    commits many days at once.
    """
    from jobs.night.ledger import scores_latest

    context = _context(spark, home)
    keys = context.definition.keys
    found = scores_latest(context, [date.fromisoformat(day)])
    rows = found.select("ds", *keys, "score", "model_version").orderBy(*keys).collect()
    return [row.asDict() for row in rows]


def reasons(spark: SparkSession, home: Path, day: str) -> list[str]:
    """Return why a day was published, without the run of Airflow that is named after it."""
    from jobs.night.ledger import history

    published = history(_context(spark, home), [date.fromisoformat(day)])
    assert all("(Airflow " in publication.why for publication in published)
    return [publication.why.partition(" (Airflow")[0] for publication in published]


def _context(spark: SparkSession, home: Path):  # type: ignore[no-untyped-def]
    from jobs.context import Context

    return Context.open(definitions.load("flights"), Home.of(home), spark)
