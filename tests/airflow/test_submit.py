"""What spark-submit starts: its receipt, and each step of a night by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.errors import CheckFailed, PartitionNotReady, SourceDayMissing
from feature_store.home import Home
from jobs import submit
from jobs.registry import model_registry
from tests.airflow.server import ROOT, clean_environment
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.context import Context

NIGHT = ["night", "--pipeline=flights", "--ds=2013-12-10"]


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    return tmp_path / "receipt.json"


@pytest.fixture
def fake_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A night without Spark, which ends with `error` after the steps in `done`."""
    import jobs.night.night
    import jobs.report.render
    import jobs.report.verdict
    from jobs.cli import session as cli_session

    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))  # runs are kept there
    plan: dict[str, Any] = {"done": ["ingest", "features"], "error": None, "failures": []}

    @contextmanager
    def open_context(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(definition=SimpleNamespace(name="flights"))

    def run_night(context: object, request: Any, on_step: Any) -> SimpleNamespace:
        for name in plan["done"]:
            on_step(name, 1.0)
        if plan["error"] is not None:
            raise plan["error"]
        return SimpleNamespace(
            ds=request.ds,
            run_id="r1",
            status="already published",
            rows=842,
            model_version=3,
            notes=(),
        )

    def render_report(context: object, ds: object, failure: str) -> str:
        plan["failures"].append(failure)
        return "page.html"

    monkeypatch.setattr(cli_session, "open_context", open_context)
    monkeypatch.setattr(model_registry, "get", lambda *_: None)
    monkeypatch.setattr(jobs.night.night, "run_night", run_night)
    monkeypatch.setattr(jobs.report.render, "render_report", render_report)
    monkeypatch.setattr(jobs.report.verdict, "why_train", lambda *_: "PSI is .4")
    return plan


def test_a_failed_step_is_named_after_those_that_were_done(
    fake_night: dict[str, Any], receipt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_night["error"] = CheckFailed("1 of 16 checks failed: between(temp)")
    assert submit.main(["--receipt", str(receipt), *NIGHT]) == 1
    told = json.loads(receipt.read_text())
    assert list(told["steps"]) == ["ingest", "features"]
    assert told["failure"] == {
        "step": "check features",
        "error": "CheckFailed",
        "text": "1 of 16 checks failed: between(temp)",
        "final": True,
    }
    assert "nightscore: 1 of 16 checks failed" in capsys.readouterr().err
    assert fake_night["failures"] == ["1 of 16 checks failed: between(temp)"]


def test_what_may_pass_by_itself_is_not_final(fake_night: dict[str, Any], receipt: Path) -> None:
    for error in (SourceDayMissing("flights", "d", "not yet", "Wait"), OSError("disk is full")):
        fake_night.update(done=[], error=error)
        assert submit.main(["--receipt", str(receipt), *NIGHT]) == 1
        failure = json.loads(receipt.read_text())["failure"]
        assert (failure["step"], failure["final"]) == ("ingest", False)


def test_a_night_that_was_done_already_tells_of_every_step(
    fake_night: dict[str, Any], receipt: Path
) -> None:
    assert submit.main(["--receipt", str(receipt), *NIGHT]) == 0
    told = json.loads(receipt.read_text())
    assert set(told["steps"]) == set(submit.STEPS)
    assert told["steps"]["publish"] == {"seconds": 0.0, "note": "already published"}
    assert told["published"]["run_id"] == "r1"
    assert told["training_wanted"] == "PSI is .4"


def test_a_receipt_is_there_before_the_first_step(
    fake_night: dict[str, Any], receipt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is killed leaves what it did until then."""
    seen = []
    monkeypatch.setattr(
        submit.Receipt, "step", lambda self, *_: seen.append(json.loads(receipt.read_text()))
    )
    submit.main(["--receipt", str(receipt), *NIGHT])
    assert seen[0] == {"steps": {}}


@pytest.mark.parametrize(
    "command",
    [
        ["night", "--pipeline=nope", "--ds=2013-12-10"],
        ["night", "--pipeline=flights", "--ds=2014-12-10"],
        ["plan", "--pipeline=nope", "--from=2013-12-10", "--to=2013-12-10"],
    ],
)
def test_a_malformed_request_is_final_and_exits_with_2(command: list[str], receipt: Path) -> None:
    assert submit.main(["--receipt", str(receipt), *command]) == 2
    assert json.loads(receipt.read_text())["failure"]["final"] is True


def test_an_option_is_written_out_in_full(fake_night: dict[str, Any], receipt: Path) -> None:
    command = ["plan", "--pipeline=nope", "--from=2013-12-10", "--to=2013-12-10"]
    assert submit.main([f"--rec={receipt}", *command]) == 2
    assert not receipt.exists()
    with pytest.raises(SystemExit):
        submit.main([*NIGHT, "--forc"])


def test_as_a_script_it_finds_our_packages_and_hides_our_modules(
    receipt: Path, tmp_path: Path
) -> None:
    """spark-submit puts jobs/ on the path, where `config` or `train` would be anyone's."""
    script = ROOT / "jobs" / "submit.py"
    done = subprocess.run(
        [sys.executable, "-P", script, "--receipt", receipt, "plan", "--pipeline=nope",
         "--from=2013-12-10", "--to=2013-12-10"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pipeline='nope' is unknown" in done.stderr
    code = (
        f"import runpy, sys; sys.argv = ['x', '--version']\n"
        f"sys.path.insert(0, {str(script.parent)!r})\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "import importlib.util; print(importlib.util.find_spec('submit'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "None", done.stderr


def test_the_steps_are_those_that_can_be_run_alone() -> None:
    from jobs.night.steps import ORDER

    assert (*(step.name for step in ORDER), "report") == submit.STEPS


def _copy(spark: SparkSession, home: Home, folder: Path) -> Context:
    from jobs.context import Context

    shutil.copytree(home.root, folder)
    return Context.open(clicky_definition(), Home.of(folder), spark)


@pytest.mark.slow
def test_steps_one_by_one_come_to_what_a_night_at_once_does(
    spark: SparkSession, champion_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.night.ledger import history, scores_latest
    from jobs.night.night import NightRequest, run_night, run_step

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    alone = _copy(spark, champion_home, tmp_path / "alone")
    at_once = _copy(spark, champion_home, tmp_path / "at_once")
    tonight = toy_days(8)[-1]
    model = model_registry.champion(alone.home, "toy")
    request = NightRequest(ds=tonight, model=model, who="test", why="alone")

    for name in ("ingest", "features"):
        run_step(alone, request, name)
    for too_early in ("check scores", "publish"):
        with pytest.raises(PartitionNotReady, match="repeat the step `score`"):
            run_step(alone, request, too_early)
    notes = {name: run_step(alone, request, name) for name in submit.STEPS[:-1]}
    result = run_night(at_once, request, lambda *_: None)
    assert notes["features"] == f"{result.rows} rows found"
    assert notes["publish"] == f"run {result.run_id} published, {result.rows} rows"

    def published(context: Context) -> list[Any]:
        keys = context.definition.keys
        return scores_latest(context, [tonight]).select(*keys, "score").orderBy(*keys).collect()

    assert published(alone) == published(at_once)
    assert len(published(alone)) == result.rows > 0
    assert run_step(alone, request, "publish").endswith("is published already")
    assert len(history(alone, [tonight])) == 1
    assert Path(submit._report(alone, request, "")).exists()
