from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.airflow.inside.conftest import FILES, ROOT, Parsed

NIGHT = (
    "night",
    "prepare.ingest",
    "prepare.features",
    "score.check_features",
    "score.score",
    "score.check_scores",
    "score.publish",
    "tell.report",
)
HEAVY = {
    "pyspark", "torch", "pandas", "numpy", "delta", "mlflow", "kubernetes", "kubernetes_asyncio",
    "aiohttp", "pyarrow",
}  # fmt: skip


def test_every_dag_file_parses_without_an_error(parsed: Parsed) -> None:
    assert parsed.errors == {}


def test_a_dag_file_costs_less_than_a_second_and_imports_nothing_heavy(parsed: Parsed) -> None:
    assert max(parsed.cpu_seconds.values()) < 1.0, parsed.cpu_seconds
    assert parsed.modules & HEAVY == set()
    assert not {"jobs", "models"} & parsed.modules


def test_parsing_loads_nothing_heavy_in_a_process_of_its_own() -> None:
    code = (
        "import sys, json\n"
        "from dags import nightly, train, backfill, maintenance\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(json.loads(done.stdout.splitlines()[-1])) & HEAVY == set()


def test_each_definition_has_each_kind_of_dag_and_maintenance_is_one(parsed: Parsed) -> None:
    pipelines = {path.stem for path in (ROOT / "feature_store/definitions").glob("[a-z]*.py")}
    wanted = {f"{kind}_{name}" for kind in FILES[:3] for name in pipelines} | {"maintenance"}
    assert set(parsed.dags) == wanted
    tasks = parsed.dags["maintenance"].task_dict
    assert set(tasks) == {f"maintain_{name}" for name in pipelines}


def test_every_dag_says_what_it_is_for_and_whose_it_is(parsed: Parsed) -> None:
    for dag_id, dag in parsed.dags.items():
        assert len(dag.doc_md) > 200, dag_id
        assert dag.description, dag_id
        assert "nightscore" in dag.tags, dag_id
        assert len(dag.tags) >= 2, dag_id
        for task in dag.tasks:
            assert task.owner not in ("", "airflow"), (dag_id, task.task_id)


def test_no_dag_runs_before_a_person_switches_it_on(parsed: Parsed) -> None:
    for dag_id, dag in parsed.dags.items():
        assert dag.is_paused_upon_creation is not False, dag_id
        assert dag.catchup is False, dag_id
        assert dag.max_active_runs <= 2, dag_id


def test_every_task_is_repeated_twice_and_names_its_failure(parsed: Parsed) -> None:
    from dags._alerts import name_the_failure

    for dag in parsed.dags.values():
        for task in dag.tasks:
            assert task.retries == 2, task
            assert task.retry_delay >= timedelta(minutes=1), task
            assert list(task.on_failure_callback) == [name_the_failure], task
            assert task.depends_on_past is False, task


def test_whatever_may_start_spark_waits_for_a_slot_of_its_pool(parsed: Parsed) -> None:
    from dags._tasks import Job

    for dag in parsed.dags.values():
        for task in dag.tasks:
            wanted = "spark" if isinstance(task, Job) else "default_pool"
            assert task.pool == wanted, task


@pytest.mark.parametrize("pipeline", ["flights", "clicks"])
def test_the_graph_reads_like_the_night(parsed: Parsed, pipeline: str) -> None:
    dag = parsed.dags[f"nightly_{pipeline}"]
    for before, after in pairwise(NIGHT):
        assert after in dag.get_task(before).downstream_task_ids, (before, after)
    assert set(dag.task_group.children) == {"night", "prepare", "score", "tell"}


def test_steps_have_the_names_that_the_jobs_give_them() -> None:
    import ast

    from dags._tasks import STEPS

    tree = ast.parse((ROOT / "jobs" / "submit.py").read_text())
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STEPS"
    )
    assert listed == STEPS


def test_scores_and_models_are_assets_that_others_can_wait_for(parsed: Parsed) -> None:
    publish = parsed.dags["nightly_flights"].get_task("score.publish")
    assert [asset.uri for asset in publish.outlets] == ["nightscore://scores/flights"]
    judge = parsed.dags["train_flights"].get_task("judge")
    assert [asset.uri for asset in judge.outlets] == ["nightscore://models/flights"]


def test_a_training_is_three_tasks_in_a_row_that_share_a_name(
    parsed: Parsed, render: Callable[..., list[str]]
) -> None:
    dag = parsed.dags["train_flights"]
    assert [task.task_id for task in dag.topological_sort()] == ["freeze", "fit", "judge"]
    assert dag.get_task("fit").downstream_task_ids == {"judge"}
    params = {
        **dict.fromkeys(("model", "first", "last", "judged", "precision")),
        "train_days": 30, "judge_days": 28, "promote": False, "force": True,
    }  # fmt: skip
    run = {"params": params, "run_id": "manual__2013-11-28T00:00:00+00:00"}
    name = "airflow-manual__2013-11-28T00-00-00-00-00"
    assert f"--name={name}" in render("train_flights", "freeze", **run)
    assert render("train_flights", "fit", **run) == [
        "--pipeline=flights", f"--training={name}", "--force", "--json",
    ]  # fmt: skip
    assert render("train_flights", "judge", **run) == [
        "judge", "--pipeline=flights", f"--training={name}", "--no-promote", "--json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("try_number", "max_tries", "is_forced"),
    [
        (1, 2, True),
        (2, 2, False),
        (3, 2, False),
        # Cleared after its second try: Airflow adds the retries anew.
        (3, 4, True),
        (4, 4, False),
    ],
)
def test_a_forced_fit_goes_on_in_a_retry_and_begins_anew_when_it_is_cleared(
    render: Callable[..., list[str]], try_number: int, max_tries: int, *, is_forced: bool
) -> None:
    params = dict.fromkeys(("model", "first", "last", "judged", "precision")) | {"force": True}
    ti = SimpleNamespace(try_number=try_number, max_tries=max_tries)
    found = render("train_flights", "fit", params=params, ti=ti)
    assert ("--force" in found) is is_forced


def test_a_night_can_ask_for_training_and_training_listens(parsed: Parsed) -> None:
    ask = parsed.dags["nightly_flights"].get_task("tell.ask_for_training")
    wanted = [asset.uri for asset in ask.outlets]
    assert wanted == ["nightscore://training-wanted/flights"]
    condition = parsed.dags["train_flights"].timetable.asset_condition
    assert [asset.uri for asset in condition.objects] == wanted


def test_a_night_has_a_deadline(parsed: Parsed) -> None:
    (deadline,) = parsed.dags["nightly_flights"].deadline
    assert deadline.interval == timedelta(hours=6)
    assert deadline.callback.path == "dags._alerts.name_the_delay"


def _scheduler_dag(dag: Any) -> Any:
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def _nights(dag: Any, first: str, last: str) -> list[Any]:
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    return list(_scheduler_dag(dag).iter_dagrun_infos_between(start, end))


def test_the_logical_date_is_the_midnight_of_the_day_that_is_scored(parsed: Parsed) -> None:
    nights = _nights(parsed.dags["nightly_flights"], "2013-12-09T00:00", "2013-12-11T23:59:59")
    assert [info.logical_date.isoformat() for info in nights] == [
        f"2013-12-{day:02d}T00:00:00+00:00" for day in (9, 10, 11)
    ]
    waits = {(info.run_after - info.logical_date).total_seconds() for info in nights}
    assert waits == {30 * 60}


def test_a_backfill_to_midnight_would_leave_out_its_last_day(parsed: Parsed) -> None:
    """The trap that `infra/airflow.sh backfill` closes: it asks to the end of the last day."""
    nights = _nights(parsed.dags["nightly_flights"], "2013-12-09T00:00", "2013-12-11T00:00")
    assert [info.logical_date.day for info in nights] == [9, 10]


@pytest.mark.parametrize(
    ("cutoff_hours", "cron", "wait"),
    [
        (0, "30 0 * * *", timedelta(minutes=30)),
        (5, "30 5 * * *", timedelta(hours=5, minutes=30)),
        (-6, "30 0 * * *", timedelta(minutes=30)),
        (26, "30 2 * * *", timedelta(hours=26, minutes=30)),
    ],
)
def test_ds_is_the_scored_day_wherever_the_cutoff_lies(
    cutoff_hours: int, cron: str, wait: timedelta
) -> None:
    from dataclasses import replace

    from dags._pipelines import pipelines
    from dags.nightly import schedule

    pipeline = replace(next(iter(pipelines())), cutoff_hours=cutoff_hours)
    timetable = schedule(pipeline)
    assert (timetable.expression, timetable.interval) == (cron, wait)
    assert pipeline.deadline > wait


def test_arguments_are_the_same_whatever_the_data_interval_and_the_run_id(
    parsed: Parsed, render: Callable[..., list[str]]
) -> None:
    """Scheduled, backfill, manual and test runs differ in both; `ds` is what they share."""
    params = {"model": "champion", "force": False, "reason": "nightly"}
    day = datetime(2013, 12, 10, tzinfo=UTC)
    runs = [
        {"run_id": "scheduled__2013-12-10T00:30:00+00:00", "data_interval_end": day},
        {"run_id": "backfill__2013-12-11T00:30:00+00:00", "data_interval_start": day},
        {"run_id": "manual__2026-11-21T09:04:29+00:00", "data_interval_end": datetime.now(UTC)},
    ]
    seen = set()
    for run in runs:
        arguments = render("nightly_flights", "night", ds="2013-12-10", params=params, **run)
        assert run["run_id"] in arguments[-1]
        seen.add(tuple(a.replace(str(run["run_id"]), "RUN") for a in arguments))
    assert seen == {
        (
            "night",
            "--pipeline=flights",
            "--ds=2013-12-10",
            "--model=champion",
            "--reason=nightly (Airflow RUN)",
        )
    }


BACKFILL = {
    "from": "2013-12-01",
    "to": "2013-12-03",
    "exclude": ["2013-12-02"],
    "model": "3",
    "force": True,
    "dry_run": True,
    "reason": "late rows; $(reboot) --dry-run",
}


def test_a_form_becomes_arguments_one_by_one_and_never_passes_a_shell(
    render: Callable[..., list[str]],
) -> None:
    assert render("backfill_flights", "backfill", params=BACKFILL) == [
        "backfill",
        "--pipeline=flights",
        "--from=2013-12-01",
        "--to=2013-12-03",
        "--model=3",
        "--reason=late rows; $(reboot) --dry-run (Airflow r)",
        "--force",
        "--dry-run",
        "--exclude=2013-12-02",
    ]


def test_every_excluded_day_is_an_argument_of_its_own(render: Callable[..., list[str]]) -> None:
    days = ["2013-12-02", "2013-12-01"]
    arguments = render("backfill_flights", "plan", params={**BACKFILL, "exclude": days})
    assert arguments[-2:] == ["--exclude=2013-12-02", "--exclude=2013-12-01"]


LINE_BREAKS = [*"\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"]


@pytest.mark.parametrize("end_of_line", LINE_BREAKS, ids=ascii)
def test_no_text_of_a_form_becomes_an_argument_of_its_own(
    parsed: Parsed, render: Callable[..., list[str]], end_of_line: str
) -> None:
    reason = f"x{end_of_line}--receipt=/tmp/x"
    night = {"model": "champion", "force": False, "reason": reason}
    for text in (reason, f"x{end_of_line}"):
        assert _refusal(parsed.dags["nightly_flights"], {"reason": text}) != ""
        assert _refusal(parsed.dags["backfill_flights"], {**BACKFILL, "reason": text}) != ""
    # Nor would it if the form had let it through.
    assert render("nightly_flights", "night", ds="2013-12-10", params=night)[-1] == (
        f"--reason={reason} (Airflow r)"
    )
    arguments = render("backfill_flights", "plan", params={**BACKFILL, "reason": reason})
    assert [a for a in arguments if a.startswith("--receipt")] == []
    days = {**BACKFILL, "exclude": [f"2013-12-02{end_of_line}--receipt=/tmp/x"]}
    arguments = render("backfill_flights", "plan", params=days)
    assert [a for a in arguments if a.startswith("--receipt")] == []


def test_an_empty_form_adds_no_flags(render: Callable[..., list[str]]) -> None:
    plain = {**BACKFILL, "exclude": [], "force": False, "dry_run": False}
    arguments = render("backfill_flights", "plan", params=plain)
    assert [a for a in arguments if a in ("--force", "--dry-run") or "exclude" in a] == []


def _refusal(dag: Any, conf: dict[str, Any]) -> str:
    import copy

    from airflow.sdk.exceptions import ParamValidationError

    params = copy.deepcopy(dag.params)
    try:
        params.update(conf)
        params.validate()
    except (ParamValidationError, ValueError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("dag_id", "change"),
    [
        ("backfill_flights", {"from": "yesterday"}),
        ("backfill_flights", {"from": "2013-13-01"}),
        ("backfill_flights", {"from": None}),
        ("backfill_flights", {"to": "2013-12-03 --force"}),
        ("backfill_flights", {"exclude": ["2013-12-02", "x"]}),
        ("backfill_flights", {"exclude": "2013-12-02"}),
        ("backfill_flights", {"model": "../../etc"}),
        ("backfill_flights", {"model": "0"}),
        ("backfill_flights", {"force": "yes"}),
        ("backfill_flights", {"reason": ""}),
        ("backfill_flights", {"reason": "two\nlines"}),
        ("backfill_flights", {"reason": "x" * 201}),
        ("nightly_flights", {"model": "best one"}),
        ("nightly_flights", {"reason": "a\x00b"}),
        ("train_flights", {"model": "Evil-Model"}),
        ("train_flights", {"train_days": 0}),
        ("train_flights", {"first": "2013"}),
        ("train_flights", {"precision": "f16"}),
        ("maintenance", {"dry_run": "no"}),
    ],
)
def test_a_form_refuses_what_is_malformed(
    parsed: Parsed, dag_id: str, change: dict[str, Any]
) -> None:
    dag = parsed.dags[dag_id]
    good = BACKFILL if dag_id.startswith("backfill") else {}
    assert _refusal(dag, good) == ""
    assert _refusal(dag, {**good, **change}) != ""


def test_a_backfill_asks_for_its_range(parsed: Parsed) -> None:
    assert _refusal(parsed.dags["backfill_flights"], {}) != ""


class Event:
    """An asset's event, as a template sees it."""

    def __init__(self, day: str) -> None:
        self.extra = {"ds": day}


@pytest.mark.parametrize(
    ("context", "wanted"),
    [
        ({"logical_date": datetime(2013, 11, 24, tzinfo=UTC)}, ("2013-10-26", "2013-11-23")),
        (
            {"triggering_asset_events": {"a": [Event("2013-11-20"), Event("2013-11-24")]}},
            ("2013-10-26", "2013-11-23"),
        ),
        # The data end in 2013: whoever trains later is judged on the last days that there are.
        ({"logical_date": datetime(2026, 11, 22, tzinfo=UTC)}, ("2013-12-03", "2013-12-31")),
        ({}, ("2013-12-03", "2013-12-31")),
    ],
)
def test_training_is_judged_on_the_days_before_the_run(
    render: Callable[..., list[str]], context: dict[str, Any], wanted: tuple[str, str]
) -> None:
    params = {
        **dict.fromkeys(("model", "first", "last", "judged", "precision")),
        "train_days": 273, "judge_days": 28, "promote": True, "force": False,
    }  # fmt: skip
    arguments = render("train_flights", "freeze", run_id="r", params=params, **context)
    to, eval_to = wanted
    assert f"--to={to}" in arguments
    assert f"--eval-to={eval_to}" in arguments
    (first,) = (a.removeprefix("--from=") for a in arguments if a.startswith("--from="))
    assert (date.fromisoformat(to) - date.fromisoformat(first)).days <= 272
    assert first >= "2013-01-01"


def test_the_form_of_training_wins_over_its_schedule(render: Callable[..., list[str]]) -> None:
    params = {
        "model": "dcnv2", "first": "2013-01-01", "last": "2013-09-30", "judged": "2013-12-31",
        "train_days": 273, "judge_days": 28, "promote": False, "precision": "bf16", "force": True,
    }  # fmt: skip
    assert render("train_flights", "freeze", run_id="r", params=params)[2:] == [
        "--from=2013-01-01",
        "--to=2013-09-30",
        "--eval-to=2013-12-31",
        "--model=dcnv2",
        "--precision=bf16",
        "--name=airflow-r",
        "--json",
    ]
    given = {"params": params, "run_id": "r"}
    assert "--force" in render("train_flights", "fit", **given)
    assert "--no-promote" in render("train_flights", "judge", **given)


@pytest.mark.parametrize(
    ("named", "wanted"),
    [
        ({"judged": "2013-10-31"}, ("2013-09-04", "2013-10-03", "2013-10-31")),
        ({"last": "2013-06-30"}, ("2013-06-01", "2013-06-30", "2013-12-31")),
        (
            {"judged": "2013-10-31", "last": "2013-06-30"},
            ("2013-06-01", "2013-06-30", "2013-10-31"),
        ),
        ({"first": "2013-03-01"}, ("2013-03-01", "2013-12-03", "2013-12-31")),
    ],
)
def test_a_day_that_the_form_names_moves_those_before_it_along(
    render: Callable[..., list[str]], named: dict[str, str], wanted: tuple[str, str, str]
) -> None:
    params = {
        **dict.fromkeys(("model", "first", "last", "judged", "precision")), "force": False,
        "train_days": 30, "judge_days": 28, "promote": True, **named,
    }  # fmt: skip
    arguments = render("train_flights", "freeze", run_id="r", params=params)
    first, last, judged = wanted
    assert arguments[2:5] == [f"--from={first}", f"--to={last}", f"--eval-to={judged}"]


def _next_run(dag: Any) -> Any:
    from airflow.timetables.base import TimeRestriction

    serialized = _scheduler_dag(dag)
    return serialized.timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(dag.start_date, dag.end_date, catchup=False),
    )


def test_switching_a_night_on_runs_the_latest_day_and_none_after_the_data_end(
    parsed: Parsed,
) -> None:
    """`catchup=False` still makes the latest run; data that ended have none to make."""
    latest = _next_run(parsed.dags["nightly_clicks"])
    assert datetime.now(UTC) - latest.logical_date < timedelta(days=2)
    assert _next_run(parsed.dags["nightly_flights"]) is None


def test_files_with_helpers_make_no_dags() -> None:
    ignored = (Path(ROOT) / "dags" / ".airflowignore").read_text().split()
    assert "_*.py" in ignored
    assert {p.stem for p in (ROOT / "dags").glob("[a-z]*.py")} == set(FILES)


BROKEN = {
    "typo": ("from feature_store.definition import Definiton\n", "Definiton"),
    "heavy": ("import pandas_is_not_here\n", "No module named 'pandas_is_not_here'"),
    "empty": ("def helper(): ...\n", "must hold a DEFINITION"),
    "syntax": ("DEFINITION = (\n", "SyntaxError"),
    "bounds": (
        "from dataclasses import replace\n"
        "from feature_store.definitions import flights\n"
        "DEFINITION = replace(flights.DEFINITION, name='bounds', deadline_hours=0)\n",
        "deadline_hours=0: must be in 1..720",
    ),
}


@pytest.fixture
def beside_broken_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parsed:
    """The DAGs where definitions are broken in every way, and one by its environment."""
    from airflow.dag_processing.dagbag import DagBag

    from feature_store import definitions

    for name, (code, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(code)
    (tmp_path / "_shared.py").write_text("raise RuntimeError('nobody imports me')\n")
    monkeypatch.setattr(definitions, "__path__", [*definitions.__path__, str(tmp_path)])
    for folder in ("definitions", "streams"):
        monkeypatch.delitem(sys.modules, f"feature_store.{folder}.clicks", raising=False)
    monkeypatch.setenv("NIGHTSCORE_CLICKS_ROWS", "many")
    bag = DagBag(str(ROOT / "dags"), collect_dags=False)
    for name in FILES:
        bag.process_file(str(ROOT / "dags" / f"{name}.py"))
    return Parsed(dict(bag.dags), dict(bag.import_errors), {}, set())


def test_a_broken_definition_stops_no_other_pipeline(
    beside_broken_ones: Parsed, parsed: Parsed
) -> None:
    assert beside_broken_ones.errors == {}
    dags = beside_broken_ones.dags
    stand_ins = {f"nightly_{name}" for name in (*BROKEN, "clicks")}
    sound = {name for name in parsed.dags if "clicks" not in name}
    assert set(dags) == sound | stand_ins
    sound_ones = ["flights", "shop_ads", "shop_reorder"]
    assert list(dags["maintenance"].task_dict) == [f"maintain_{name}" for name in sound_ones]
    for name in sound - {"maintenance"}:
        assert list(dags[name].task_dict) == list(parsed.dags[name].task_dict)


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name, (_, text) in BROKEN.items()] + [("clicks", "NIGHTSCORE_CLICKS_ROWS")],
)
def test_a_broken_definition_shows_and_fails_with_its_error(
    beside_broken_ones: Parsed, name: str, text: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from dags._alerts import name_the_failure

    dag = beside_broken_ones.dags[f"nightly_{name}"]
    assert text in dag.doc_md
    (task,) = dag.tasks
    assert list(task.on_failure_callback) == [name_the_failure]
    with pytest.raises(AirflowFailException, match=re.escape(text)):
        task.execute({})
    assert _next_run(dag).logical_date.hour == 0, "it fails when its night would have run"


def test_what_the_documentation_of_a_dag_tells_to_type_is_right(parsed: Parsed) -> None:
    doc = parsed.dags["nightly_flights"].doc_md
    assert "infra/airflow.sh backfill flights --from" in doc
    assert "plan itself is recorded" in parsed.dags["backfill_flights"].doc_md
