"""Airflow's own backfill: its traps, met for real in its database, and how ours closes them."""

from __future__ import annotations

import argparse
import importlib.util
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from tests.airflow.inside.conftest import ROOT, Parsed

FIRST = datetime(2013, 12, 1, tzinfo=UTC)
LAST = datetime(2013, 12, 3, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(scope="session")
def helper() -> ModuleType:
    """infra/airflow_backfill.py, which is a script."""
    spec = importlib.util.spec_from_file_location(
        "airflow_backfill", ROOT / "infra" / "airflow_backfill.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def stored(parsed: Parsed, database: None) -> None:
    """The DAGs as the scheduler knows them."""
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG
    from airflow.utils.session import create_session

    with create_session() as session:
        session.merge(DagBundleModel(name="ours"))
    for dag_id in ("nightly_flights", "nightly_clicks", "backfill_flights"):
        dag = LazyDeserializedDAG.from_dag(parsed.dags[dag_id])
        with create_session() as session:
            SerializedDAG.bulk_write_to_db("ours", None, [dag], session=session)
        SerializedDagModel.write_dag(dag, bundle_name="ours")


def _create(dag_id: str, behaviour: Any, first: datetime = FIRST, last: datetime = LAST) -> int:
    """Create a backfill, and return how many runs of it wait to be run."""
    from airflow.models.backfill import _create_backfill
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    backfill = _create_backfill(
        dag_id=dag_id, from_date=first, to_date=last, max_active_runs=1, reverse=False,
        dag_run_conf={}, triggering_user_name=None, reprocess_behavior=behaviour,
    )  # fmt: skip
    with create_session() as session:
        waiting = select(func.count()).where(
            DagRun.backfill_id == backfill.id, DagRun.state == "queued"
        )
        return session.scalar(waiting) or 0


def _end(dag_id: str, state: str) -> None:
    """End every run and backfill of a DAG."""
    from airflow.models.backfill import Backfill
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import update

    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.dag_id == dag_id).values(state=state))
        ended = update(Backfill).where(Backfill.dag_id == dag_id)
        session.execute(ended.values(completed_at=datetime.now(UTC)))


def test_a_repeated_backfill_does_nothing_unless_it_says_what_to_do_again(stored: None) -> None:
    from airflow.models.backfill import ReprocessBehavior

    assert _create("nightly_flights", None) == 3
    _end("nightly_flights", "success")
    assert _create("nightly_flights", None) == 0, "the trap: no error, and nothing to run"
    _end("nightly_flights", "success")
    assert _create("nightly_flights", ReprocessBehavior.COMPLETED) == 3
    _end("nightly_flights", "success")
    assert _create("nightly_flights", ReprocessBehavior.FAILED) == 0
    _end("nightly_flights", "failed")
    assert _create("nightly_flights", ReprocessBehavior.FAILED) == 3
    _end("nightly_flights", "success")


def test_a_finished_night_can_be_cleared(stored: None) -> None:
    """apache/airflow #70368: it could not, if its deadline were counted from when it was queued."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import clear_task_instances
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == "nightly_flights")).first()
        assert run is not None
        tasks = run.get_task_instances(session=session)
        assert tasks
        clear_task_instances(tasks, session)
        assert run.state == "queued"
    _end("nightly_flights", "success")


def test_a_second_backfill_at_once_is_refused_by_airflow(stored: None) -> None:
    from airflow.models.backfill import AlreadyRunningBackfill

    assert _create("nightly_clicks", None) == 3
    with pytest.raises(AlreadyRunningBackfill):
        _create("nightly_clicks", None)
    _end("nightly_clicks", "success")


def test_a_run_id_tells_when_a_run_is_due_and_not_which_day_it_is_about(stored: None) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        query = select(DagRun.run_id, DagRun.logical_date).where(DagRun.dag_id == "nightly_flights")
        runs = session.execute(query.order_by(DagRun.logical_date)).all()
    assert runs
    for run_id, logical_date in runs:
        assert run_id.startswith(f"backfill__{logical_date:%Y-%m-%d}T00:30:00")
        assert logical_date.hour == logical_date.minute == 0


def test_a_dag_without_a_schedule_cannot_be_backfilled_by_airflow(stored: None) -> None:
    from airflow.models.backfill import DagNonPeriodicScheduleException

    with pytest.raises(DagNonPeriodicScheduleException):
        _create("backfill_flights", None)


def test_airflow_makes_runs_of_days_that_a_dag_does_not_have(stored: None) -> None:
    after = datetime(2014, 1, 5, tzinfo=UTC)
    assert _create("nightly_flights", None, after, after.replace(day=7)) == 2
    _end("nightly_flights", "failed")


def _options(helper: ModuleType, *arguments: str) -> argparse.Namespace:
    return helper._options(["flights", "--from=2013-12-01", "--to=2013-12-03", *arguments])


def test_ours_names_the_behaviour_and_includes_the_last_day(helper: ModuleType) -> None:
    options = _options(helper, "--force", "--reason=late rows; $(reboot)")
    assert helper.command("nightly_flights", options) == [
        "backfill",
        "create",
        "--dag-id=nightly_flights",
        "--from-date=2013-12-01T00:00:00+00:00",
        "--to-date=2013-12-03T23:59:59+00:00",
        "--max-active-runs=1",
        "--reprocess-behavior=completed",
        '--dag-run-conf={"model": "champion", "force": true, "reason": "late rows; $(reboot)"}',
    ]
    failed = helper.command("nightly_flights", _options(helper, "--only=failed"))
    assert "--reprocess-behavior=failed" in failed


@pytest.mark.parametrize("is_paused", [True, "True", "true", None])
def test_ours_refuses_a_paused_dag_which_would_wait_for_ever(
    helper: ModuleType, is_paused: object
) -> None:
    with pytest.raises(helper.Refused, match=r"nightly_flights is paused.*dags unpause"):
        helper.require_active("nightly_flights", {"is_paused": is_paused})
    helper.require_active("nightly_flights", {"is_paused": "False"})
    helper.require_active("nightly_flights", {"is_paused": False})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--to=2014-01-01",), "pipeline flights has days 2013-01-01 to 2013-12-31"),
        (("--from=2012-12-31",), "pipeline flights has days 2013-01-01 to 2013-12-31"),
        (
            ("nights",),
            "pipeline 'nights' is unknown; there are: clicks, flights, shop_a",
        ),
    ],
)
def test_ours_refuses_days_that_there_are_not(
    helper: ModuleType, arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--from=2013-12-01", "--to=2013-12-03", *arguments]
    name = [] if arguments == ("nights",) else ["flights"]
    assert helper.main([*name, *options]) == 2
    assert why in capsys.readouterr().err


def test_airflow_takes_a_backfill_of_a_paused_dag_without_a_word(stored: None) -> None:
    from airflow.models.backfill import ReprocessBehavior
    from airflow.models.dag import DagModel

    assert DagModel.get_dagmodel("nightly_flights").is_paused
    assert _create("nightly_flights", ReprocessBehavior.COMPLETED) == 3
    _end("nightly_flights", "success")


@pytest.mark.parametrize(
    "arguments",
    [
        ["flights", "--from=2013-12-03", "--to=2013-12-01"],
        ["flights", "--from=2013-12-32", "--to=2013-12-31"],
        ["flights", "--from=now", "--to=2013-12-31"],
        ["--dag-id=x", "--from=2013-12-01", "--to=2013-12-01"],
        ["../flights", "--from=2013-12-01", "--to=2013-12-01"],
    ],
)
def test_ours_refuses_what_is_malformed(helper: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        helper._options(arguments)
    assert ended.value.code == 2


def test_what_airflow_says_beside_the_answer_is_left_out(helper: ModuleType) -> None:
    output = '[warning ] no graphviz\n[{"is_paused": "False"}]\nbye\n'
    assert helper.parse_details(output) == {"is_paused": "False"}
    with pytest.raises(helper.Refused, match="printed no DAG"):
        helper.parse_details("[warning ] no graphviz\n")


def test_what_airflow_refuses_is_said_and_exits_with_2(
    helper: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(helper, "_dag", lambda dag_id: {"is_paused": False})

    def run(arguments: list[str]) -> str:
        raise helper.Refused("Another backfill is running for Dag nightly_flights.")

    monkeypatch.setattr(helper, "run", run)
    assert helper.main(["flights", "--from=2013-12-01", "--to=2013-12-03"]) == 2
    assert "Another backfill is running" in capsys.readouterr().err
