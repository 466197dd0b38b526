"""A night's tasks, through Airflow's own machinery, with a stand-in for spark-submit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from dags import _alerts
from dags._runner import Runner
from dags._tasks import STEPS, AskForTraining, Night, Step
from tests.airflow.inside.conftest import LOCAL, ROOT, FakeSpark, Parsed

DAY = datetime(2013, 12, 10, tzinfo=UTC)
CHECK = "flights ds=2013-12-10: 1 of 16 checks of features failed: between(temp): 3 of 842 rows"


@pytest.fixture
def run_night(
    parsed: Parsed, database: None, spark_submit: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., dict[str, str]]:
    """Run nightly_flights for a day and return the state of each task."""
    dag = parsed.dags["nightly_flights"]
    # apache/airflow #73428: DAG.test() fails after a run that succeeded if there is a deadline.
    monkeypatch.setattr(dag, "deadline", None)

    def run(day: datetime = DAY, **conf: Any) -> dict[str, str]:
        done = dag.test(logical_date=day, run_conf=conf)
        return {ti.task_id.rpartition(".")[2]: ti.state for ti in done.get_task_instances()}

    return run


def test_a_night_is_one_spark_application_and_every_step_shows(
    run_night: Callable[..., dict[str, str]], spark_submit: FakeSpark
) -> None:
    states = run_night()
    (call,) = spark_submit.calls()
    assert call["job"][:4] == ["night", "--pipeline=flights", "--ds=2013-12-10", "--model=champion"]
    steps = {step.replace(" ", "_") for step in STEPS}
    assert {task for task, state in states.items() if state == "success"} == {"night", *steps}
    assert states["ask_for_training"] == "skipped"


def test_a_failed_check_is_the_one_red_task_and_nothing_after_it_runs(
    run_night: Callable[..., dict[str, str]],
    spark_submit: FakeSpark,
    posted: list[dict[str, Any]],
) -> None:
    spark_submit.fail("check features", "CheckFailed", CHECK, final=True)
    states = run_night(datetime(2013, 12, 11, tzinfo=UTC))
    assert {task for task, state in states.items() if state == "failed"} == {"check_features"}
    assert states["night"] == states["ingest"] == states["features"] == "success"
    assert {states[t] for t in ("score", "check_scores", "publish")} == {"upstream_failed"}
    assert len(spark_submit.calls()) == 1
    (message,) = posted
    for part in ("nightly_flights", "2013-12-11", "score.check_features", "between(temp)"):
        assert part in message["text"]


class Store(dict[str, Any]):
    """What a task remembers from try to try."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def _context(receipt: Any, store: Store | None = None, try_number: int = 1) -> Any:
    ti = SimpleNamespace(
        xcom_pull=lambda task_ids: receipt, try_number=try_number, max_tries=2, dag_id="d",
    )  # fmt: skip
    return {"ti": ti, "task_state_store": Store() if store is None else store}


def _step(parsed: Parsed, name: str, alone: dict[str, Any]) -> tuple[Step, list[list[str]]]:
    """Return a step's task which, run alone, leaves the receipt `alone`; and what it submitted."""
    import copy

    task_id = f"score.{name.replace(' ', '_')}"
    task = copy.copy(parsed.dags["nightly_flights"].get_task(task_id))
    task.ds, submitted = "2013-12-10", []

    def submit(*more: str) -> dict[str, Any]:
        submitted.append(list(more))
        return alone

    task.submit = submit
    task.outlets = []
    return task, submitted


DONE = {"steps": {"score": {"seconds": 2.0, "note": "done"}}}


def test_a_receipt_is_good_once_and_a_cleared_step_does_its_work_itself(parsed: Parsed) -> None:
    step, submitted = _step(parsed, "score", DONE)
    receipt, store = {"id": "a", **DONE}, Store()
    step.execute(_context(receipt, store))
    assert submitted == []
    step.execute(_context(receipt, store, try_number=2))
    assert submitted[0][-1] == "--step=score"
    step.execute(_context({"id": "b", **DONE}, store, try_number=3))
    assert len(submitted) == 1, "cleared together with the night, it takes the night's new receipt"


def test_a_step_that_the_night_never_reached_does_its_work_itself(parsed: Parsed) -> None:
    step, submitted = _step(parsed, "score", DONE)
    stopped = {"step": "check features", "error": "CheckFailed", "text": CHECK, "final": True}
    step.execute(_context({"id": "a", "steps": {"ingest": {}}, "failure": stopped}))
    assert len(submitted) == 1


def test_a_step_without_a_night_does_its_work_itself(parsed: Parsed) -> None:
    step, submitted = _step(parsed, "score", DONE)
    step.execute(_context(None))
    assert len(submitted) == 1


@pytest.mark.parametrize(
    ("final", "kind"), [(True, AirflowFailException), (False, AirflowException)]
)
def test_only_what_a_repeat_may_mend_is_repeated(
    parsed: Parsed, final: bool, kind: type[Exception]
) -> None:
    failure = {"step": "score", "error": "WriteFailed", "text": "disk is full", "final": final}
    step, _ = _step(parsed, "score", {"steps": {}, "failure": failure})
    with pytest.raises(kind, match="WriteFailed in step `score`: disk is full") as caught:
        step.execute(_context(None))
    assert type(caught.value) is kind


def _night(parsed: Parsed, receipt: dict[str, Any]) -> Night:
    import copy

    task = copy.copy(parsed.dags["nightly_flights"].get_task("night"))
    task.ds = "2013-12-10"
    task.submit = lambda *_: receipt
    return task


def test_a_late_source_is_waited_for_by_the_night_and_then_named_by_its_step(
    parsed: Parsed,
) -> None:
    late = {"step": "ingest", "error": "SourceDayMissing", "text": "no rows yet", "final": False}
    night = _night(parsed, {"steps": {}, "failure": late})
    with pytest.raises(AirflowException, match="SourceDayMissing in step `ingest`"):
        night.execute(_context(None, try_number=2))
    assert night.execute(_context(None, try_number=3))["failure"] == late


def test_a_night_whose_driver_died_is_red_itself(parsed: Parsed) -> None:
    died = {"step": "", "error": "ApplicationDied", "text": "exit 137", "final": False}
    for tried in (1, 3):
        with pytest.raises(AirflowException, match="ApplicationDied: exit 137"):
            _night(parsed, {"steps": {}, "failure": died}).execute(_context(None, try_number=tried))


def test_a_driver_elsewhere_leaves_no_receipt_and_its_success_is_every_steps(
    parsed: Parsed,
) -> None:
    receipt = _night(parsed, {"steps": {}}).execute(_context(None))
    assert set(receipt["steps"]) == set(STEPS)


def test_a_run_without_a_date_is_refused_with_the_next_step(parsed: Parsed) -> None:
    night = _night(parsed, {"steps": {}})
    night.ds = ""
    with pytest.raises(AirflowFailException, match="--logical-date YYYY-MM-DD"):
        night.execute(_context(None))


def test_only_a_scheduled_night_with_a_reason_asks_for_training() -> None:
    asset = SimpleNamespace(extra=None)
    task = AskForTraining(task_id="ask", night="night", ds="2013-12-10")
    task.outlets = ["wanted"]

    def ask(receipt: dict[str, Any], run_type: str) -> None:
        run = SimpleNamespace(run_type=run_type)
        told = {"dag_run": run, "outlet_events": {"wanted": asset}}
        task.execute({**_context(receipt), **told})

    drifted = {"training_wanted": "PSI .4"}
    for receipt, run_type in (
        ({"steps": {}}, "scheduled"),
        ({"training_wanted": ""}, "scheduled"),
        (drifted, "backfill"),
        (drifted, "manual"),
    ):
        with pytest.raises(AirflowSkipException):
            ask(receipt, run_type)
    ask(drifted, "scheduled")
    assert asset.extra == {"ds": "2013-12-10", "reason": "PSI .4"}


def _application(arguments: list[str]) -> dict[str, Any]:
    from dags._runner import Application

    return Application("try", arguments).run()


K8S = json.loads((ROOT / "infra" / "k8s" / "connection.json").read_text())
RUNNERS = {
    "local": (LOCAL, "local[*]", []),
    "standalone": (
        {"conn_type": "spark", "host": "spark://master:7077", "extra": {}},
        "spark://master:7077",
        [],
    ),
    "yarn": (
        {"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "cluster", "queue": "q"}},
        "yarn",
        ["--queue", "q", "--deploy-mode", "cluster"],
    ),
    "kubernetes": (
        K8S,
        "k8s://https://kubernetes.default.svc:443",
        [
            "spark.kubernetes.container.image=nightscore:0.1.0",
            "spark.kubernetes.driverEnv.PYSPARK_PYTHON=/opt/nightscore/.venv/bin/python",
            "spark.kubernetes.namespace=nightscore",
            "local:///opt/nightscore/jobs/submit.py",
            K8S["extra"]["jars"],
        ],
    ),
}


@pytest.mark.parametrize("name", RUNNERS)
def test_where_a_job_runs_is_the_connection_alone(
    database: None, spark_submit: FakeSpark, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    connection, master, wanted = RUNNERS[name]
    monkeypatch.setenv("NIGHTSCORE_HOME", "/somewhere")
    monkeypatch.setenv("NIGHTSCORE_ALERT_URL", "https://secret")
    monkeypatch.setenv("FAKE_EXIT_CODE_LINE", "1")
    spark_submit.connect(connection)
    _application(["night", "--pipeline=flights", "--ds=2013-12-10"])
    (call,) = spark_submit.calls()
    assert call["submit"][:2] == ["--master", master]
    assert set(wanted) <= {*call["submit"], call["application"]}
    assert call["job"] == ["night", "--pipeline=flights", "--ds=2013-12-10"]
    told = " ".join(call["submit"])
    assert "secret" not in told
    if name == "kubernetes":
        assert "spark.kubernetes.driverEnv.NIGHTSCORE_HOME=/somewhere" in told
    else:
        assert call["env"]["NIGHTSCORE_HOME"] == "/somewhere"
        assert call["env"]["PYSPARK_PYTHON"] == str(ROOT / ".venv/bin/python")
        assert f"{ROOT}/.venv/nightscore/jars/delta-" in told


def test_a_standalone_master_with_its_driver_elsewhere_is_refused(spark_submit: FakeSpark) -> None:
    spark_submit.connect(
        {"conn_type": "spark", "host": "spark://m:7077", "extra": {"deploy-mode": "cluster"}}
    )
    with pytest.raises(AirflowFailException, match="use deploy-mode=client"):
        Runner.from_connection()


def test_a_missing_connection_is_an_error_and_never_yarn(
    database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_NIGHTSCORE_SPARK", raising=False)
    with pytest.raises(AirflowException, match="nightscore_spark"):
        Runner.from_connection()


def test_a_driver_that_dies_is_told_by_what_it_printed_last(
    database: None, spark_submit: FakeSpark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DIES", "1")
    failure = _application(["night"])["failure"]
    assert (failure["error"], failure["step"]) == ("ApplicationDied", "")
    assert "OutOfMemoryError" in failure["text"]


def _late(run_type: str) -> None:
    run = {
        "dag_run_id": "r", "run_type": run_type, "state": "running",
        "logical_date": "2013-12-10T00:00:00Z",
    }  # fmt: skip
    context = {"dag_run": run, "deadline": {"id": "x", "deadline_time": "2013-12-10T06:00:00Z"}}
    asyncio.run(_alerts.name_the_delay(context, pipeline="flights"))


def test_a_late_night_is_posted_with_its_day_and_a_backfill_is_not_late(
    posted: list[dict[str, Any]],
) -> None:
    _late("backfill")
    _late("manual")
    assert posted == []
    _late("scheduled")
    assert "pipeline=flights ds=2013-12-10 is running" in posted[0]["text"]


def test_an_alert_that_cannot_be_posted_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSCORE_ALERT_URL", "http://127.0.0.1:1/hook")
    _alerts.alert("x")
    monkeypatch.setenv("NIGHTSCORE_ALERT_URL", "file:///etc/passwd")
    _alerts.alert("x")
