"""Promises of the command line: quick where nothing heavy is needed, one message, right codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store import definitions
from feature_store.errors import CheckFailed, NightscoreError
from feature_store.home import Home
from jobs.cli import app as cli
from jobs.cli import night as cli_night
from jobs.cli import verdicts
from jobs.cli.progress import Progress
from jobs.cli.session import who
from models.errors import UnknownModel
from models.ranking import Ranking

HEAVY = ("pyspark", "torch", "mlflow", "pandas", "numpy", "pyarrow", "great_expectations", "jinja2")

COMMANDS = (
    ["run"], ["prepare"], ["score"], ["train"], ["report"], ["doctor"], ["pipelines"],
    ["freeze"], ["fit"], ["judge"],
    ["scores"], ["scores", "rollback"], ["models"], ["models", "list"], ["models", "promote"],
    ["status"], ["plan"], ["backfill"], ["maintain"], ["find"], ["init"], ["quality"],
    ["checks", "suggest"], ["quarantine", "show"], ["quarantine", "release"],
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> object:
    """Run a command in this process, in a home of its own."""
    monkeypatch.setenv("NIGHTSCORE_HOME", str(tmp_path / "home"))
    for name in ("NIGHTSCORE_DEBUG", "NIGHTSCORE_LOG", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> Outcome:
        code = cli.main(list(arguments))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def a_later_day() -> str:
    return (datetime.now(UTC).date() + timedelta(days=2)).isoformat()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(run, command: list[str]) -> None:
    shown = run(*command, "--help")
    assert shown.code == 0
    assert f"nightscore {command[0]}" in shown.out.partition("Examples:")[2]


@pytest.mark.parametrize(("group", "command"), [("checks", "suggest"), ("quarantine", "release")])
def test_a_group_alone_shows_what_there_is(run, group: str, command: str) -> None:
    shown = run(group)
    assert shown.code == 2
    assert command in shown.out + shown.err


def test_help_says_what_the_exit_codes_mean(run) -> None:
    shown = run("--help")
    assert "Exit codes: 0 done; 1" in shown.out
    assert "130 interrupted" in shown.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "--pipeline", "nope", "--ds", "2013-12-10"], "pipeline='nope' is unknown"),
        (["run", "--pipeline", "../x", "--ds", "2013-12-10"], "pipeline='../x' is unknown"),
        (["run", "--pipeline", "flights", "--ds", "10/12/2013"], "written YYYY-MM-DD"),
        (["run", "--pipeline", "flights", "--ds", "2013-02-30"], "written YYYY-MM-DD"),
        (["run", "--pipeline", "flights", "--ds", a_later_day()], "is in the future"),
        (["run", "--pipeline", "flights", "--ds", "2014-01-01"], "has days 2013-01-01 to"),
        (["run", "--pipeline", "flights"], "Missing option '--ds'"),
        (["run", "--pipeline", "flights", "--ds", "2013-12-10", "--until", "x"], "--until"),
        (["prepare", "--pipeline", "flights", "--from", "2013-02-01", "--to", "2013-01-01"],
         "--from must not be after --to"),
        (["score", "--pipeline", "nope", "--ds", "2013-12-10"], "pipeline='nope' is unknown"),
        (["train", "--pipeline", "flights", "--from", "x", "--to", "2013-09-30",
          "--eval-to", "2013-12-31"], "--from='x'"),
        (["freeze", "--pipeline", "flights", "--from", "2013-02-01", "--to", "2013-01-01",
          "--eval-to", "2013-12-31"], "--from must not be after --to"),
        (["freeze", "--pipeline", "flights", "--from", "2013-01-01", "--to", "2013-09-30",
          "--eval-to", "2013-12-31", "--name", "0123456789abcdef"], "reads like a key"),
        (["freeze", "--pipeline", "flights", "--from", "2013-01-01", "--to", "2013-09-30",
          "--eval-to", "2013-12-31", "--name", "../x"], "name='../x': must be letters"),
        (["fit", "--pipeline", "flights", "--training", "none"],
         "training='none' does not exist below"),
        (["judge", "--pipeline", "flights", "--training", "none"],
         "training='none' does not exist below"),
        (["fit", "--pipeline", "flights"], "Missing option '--training'"),
        (["scores", "--ds", "2013-12-10"], "--pipeline"),
        (["scores", "--pipeline", "flights", "--ds", "2013-12-10", "--limit", "-1"], "--limit"),
        (["scores", "rollback", "--pipeline", "flights", "--ds", "2013-12-10"], "--why"),
        (["models", "promote", "zero", "--pipeline", "flights", "--why", "x"], "version"),
        (["report", "--pipeline", "flights", "--ds", "soon"], "--ds='soon'"),
        (["find", "tailnum", "--pipeline", "flights"], "'tailnum': must be written COLUMN=VALUE"),
        (["find", "tailnum=", "--pipeline", "flights"], "must be written COLUMN=VALUE"),
        (["find", "tail=N1", "--pipeline", "flights"], "'tail' is no column of what flights reads"),
        (["init", "shop"], "Missing option '--data'"),
        (["init", "shop", "--data", "/none/of/it.csv", "--dry-run"], "/none/of/it.csv: cannot be"),
        (["init", "shop", "--data", "x.csv", "--into", "/none"], "--into='/none': is no folder"),
        (["init", "My-Shop", "--data", "x.csv"], "name='My-Shop': must be lower case letters"),
        (["init", "flights", "--data", "x.csv"], "streams/flights.py: is there already. Choose"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["reprot", "--pipeline", "flights"], "Did you mean 'report'"),
        (["report", "--pipelin", "flights"], "--pipeline"),
        (["report", "--pipeline", "flihgts", "--ds", "2013-12-10"], "Did you mean flights?"),
        (["scores", "--pipeline", "flights", "--ds", "2013-12-10", "--top", "0"], "--top"),
        (["scores", "--pipeline", "flights", "--ds", "2013-12-10", "--top", "1", "--limit", "1"],
         "--top"),
        (["status", "--pipeline", "flights", "--ds", "2014-01-01"], "has days 2013-01-01 to"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_before_anything_starts(
    run, arguments: list[str], text: str
) -> None:
    refused = run(*arguments)
    assert refused.code == 2
    assert text in refused.err
    assert "Traceback" not in refused.err
    assert refused.out == ""


def test_a_night_without_a_champion_says_how_to_get_one(run) -> None:
    refused = run("run", "--pipeline", "flights", "--ds", "2013-12-10")
    assert refused.code == 1
    assert "flights: no champion model. Run: nightscore train" in refused.err
    assert "start spark" not in refused.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (CheckFailed("toy ds=1: price is off"), 1, "nightscore: toy ds=1: price is off\n"),
        (
            UnknownModel("x", ["lr"]),
            2,
            "nightscore: model 'x' does not exist. Choose one of: lr; or name one of your own as "
            "path.py:NAME\n",
        ),
        (OSError(28, "No space left on device"), 1, "nightscore: the disk is full. "),
    ],
)
def test_an_error_is_one_message_and_its_own_exit_code(
    run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, text: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(cli_night, "pipeline_day", fail)
    failed = run("run", "--pipeline", "flights", "--ds", "2013-12-10")
    assert (failed.code, failed.out) == (code, "")
    assert text in failed.err
    assert failed.err.count("\n") == 1
    shown = run("--debug", "run", "--pipeline", "flights", "--ds", "2013-12-10")
    assert "Traceback" in shown.err


@pytest.mark.parametrize("is_hidden", [False, True])
def test_an_interrupt_ends_with_130(run, monkeypatch: pytest.MonkeyPatch, is_hidden: bool) -> None:
    def interrupt(*_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            if is_hidden:  # as a session that cannot be stopped properly any more
                raise OSError("connection lost")

    monkeypatch.setattr(cli_night, "pipeline_day", interrupt)
    stopped = run("run", "--pipeline", "flights", "--ds", "2013-12-10")
    assert stopped.code == 130
    assert "interrupted" in stopped.err


def test_pipelines_are_listed_for_people_and_for_scripts(run) -> None:
    assert "flights" in run("pipelines").out
    listed = [json.loads(line) for line in run("pipelines", "--json").out.splitlines()]
    flights = next(one for one in listed if one["pipeline"] == "flights")
    assert flights["keys"] == ["carrier", "flight", "origin"]
    assert (flights["first_day"], flights["last_day"]) == ("2013-01-01", "2013-12-31")


@pytest.fixture
def broken_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A definition that cannot be loaded, beside the shipped ones and a file that is none."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "broken_by_a_test.py").write_text("import nothing_of_that_name\n")
    (folder / "_shared.py").write_text("raise RuntimeError\n")
    monkeypatch.setattr(definitions, "__path__", [*definitions.__path__, str(folder)])
    return str(folder / "broken_by_a_test.py")


def test_pipelines_are_listed_beside_a_broken_one(run, broken_definition: str) -> None:
    shown = run("pipelines")
    assert shown.code == 0
    listed = [line.split()[0] for line in shown.out.splitlines()]
    assert listed[0] == "pipeline"
    assert {*definitions.names(), "broken_by_a_test"} <= set(listed)
    assert f"{broken_definition}:1" in shown.out
    shown = run("pipelines", "--json")
    assert shown.code == 0
    listed = {one["pipeline"]: one for one in map(json.loads, shown.out.splitlines())}
    assert "No module named 'nothing_of_that_name'" in listed["broken_by_a_test"]["error"]
    assert "error" not in listed["flights"]


def test_models_are_listed_beside_a_broken_definition(
    run, broken_definition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.registry import model_registry

    asked: list[str] = []
    monkeypatch.setattr(model_registry, "list_models", lambda _, name: asked.append(name) or [])
    shown = run("models")
    assert (shown.code, set(asked)) == (0, set(definitions.names()))
    assert "definition broken_by_a_test: file=" in shown.err
    assert "broken_by_a_test" not in run("models", "--pipeline", "flights").err
    assert (
        "definition broken_by_a_test: file=" in run("models", "--pipeline", "broken_by_a_test").err
    )


def test_a_broken_definition_is_a_wrong_request_with_one_message(
    run, broken_definition: str
) -> None:
    refused = run("run", "--pipeline", "broken_by_a_test", "--ds", "2013-12-10")
    assert refused.code == 2
    assert broken_definition in refused.err
    assert "unexpected" not in refused.err


def test_a_log_level_that_is_none_is_refused(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSCORE_LOG", "loud")
    refused = run("pipelines")
    assert refused.code == 2
    assert "NIGHTSCORE_LOG='LOUD'" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["pipelines"], ["doctor"], ["run", "--ds", "x"]],
    ids=" ".join,
)
def test_what_needs_neither_spark_nor_torch_imports_neither(
    arguments: Sequence[str], tmp_path: Path
) -> None:
    code = (
        "import sys; from jobs.cli.app import main; code = main(sys.argv[1:]); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    environment = {**os.environ, "NIGHTSCORE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, env=environment, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"


def test_progress_off_a_terminal_is_one_line_per_finished_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress() as progress:
        with progress.step("start"):
            pass
        progress.expect("ingest", "features")
        progress.on_step("ingest", 1.25)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["start", "ingest"]
    assert lines[1].endswith("1.2 s")


def test_who_is_the_named_user_or_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSCORE_USER", "scheduler")
    assert who() == "scheduler"
    monkeypatch.delenv("NIGHTSCORE_USER")
    assert who()


@dataclass(frozen=True)
class Found:
    """An evaluation, as the command line sees it."""

    auc: str = "0.7000 (95 % interval 0.6900 to 0.7100)"
    logloss: float = 0.48
    baseline_logloss: float = 0.53
    ece: float = 0.02
    rows: int = 1000
    segments: tuple[object, ...] = ()
    ranking: Ranking | None = None

    def metrics(self) -> dict[str, float]:
        return {"auc": 0.7, "auc_within": float("nan")}


@pytest.mark.parametrize(
    ("promoted", "passed", "fate"),
    [
        (True, True, "promoted to champion"),
        (False, True, "passed the gate; registered as challenger"),
        (False, False, "did not pass the gate; registered as challenger"),
    ],
)
def test_a_training_says_what_became_of_the_model(
    capsys: pytest.CaptureFixture[str], promoted: bool, passed: bool, fate: str
) -> None:
    model = SimpleNamespace(
        model="lr", version=3, digest="d", title="lr version 3", aliases=("challenger",)
    )
    result: Any = SimpleNamespace(
        model=model, evaluations={"click": Found()}, champion=None, promoted=promoted,
        seconds={"train": 1.0},
        decision=SimpleNamespace(passed=passed, reasons=("why not",), notes=()),
        training_set=SimpleNamespace(id="s"), is_reused=False,
    )  # fmt: skip
    verdicts.print_text("toy", result)
    printed = capsys.readouterr().out
    assert f"toy: lr version 3: {fate}\n" in printed
    assert "Within" not in printed
    told = json.loads(json.dumps(verdicts.as_dict("toy", result), allow_nan=False))
    assert (told["version"], told["promoted"]) == (3, promoted)
    assert told["metrics"] == {"auc": 0.7, "auc_within": None}


def test_a_training_tells_the_order_within_an_entity(capsys: pytest.CaptureFixture[str]) -> None:
    found = Ranking(k=5, entities=1200, auc=0.61, ndcg=0.5, recall=0.25)
    result: Any = SimpleNamespace(
        model=SimpleNamespace(title="lr version 3", aliases=()),
        evaluations={"click": Found(ranking=found)},
        promoted=True, decision=SimpleNamespace(passed=True, reasons=(), notes=()),
        is_reused=False,
    )  # fmt: skip
    verdicts.print_text("toy", result, "user[xl]")
    told = "Within user[xl]: AUC 0.6100, NDCG@5 0.5000, recall@5 0.2500, of 1,200 with a positive"
    assert told in capsys.readouterr().out


def test_a_report_that_fails_hides_neither_the_result_nor_the_nights_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ValueError("no page")

    monkeypatch.setattr(cli_night, "_render", fail)
    assert cli_night._report_or_none(None, date(2013, 12, 10)) is None  # type: ignore[arg-type]
    assert NightscoreError.exit_code == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("nightscore sta", "status"), ("nightscore run --pipeline fl", "flights"),
     ("nightscore scores --to", "--top")],
)  # fmt: skip
def test_a_shell_completes_commands_options_and_pipelines(typed: str, offered: str) -> None:
    asked = {
        "_NIGHTSCORE_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-c", "from jobs.cli.app import main; main([])"],
        capture_output=True, text=True, check=False, env={**os.environ, **asked}, timeout=60,
    )  # fmt: skip
    assert offered in done.stdout.split()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--pipeline", "flights", "--ds", "2013-12-10", "--reason", ""],
        ["score", "--pipeline", "flights", "--ds", "2013-12-10", "--reason", " \t"],
        ["plan", "--pipeline", "flights", "--from", "2013-12-10", "--to", "2013-12-10",
         "--reason", ""],
        ["backfill", "--pipeline", "flights", "--from", "2013-12-10", "--to", "2013-12-10",
         "--reason="],
        ["scores", "rollback", "--pipeline", "flights", "--ds", "2013-12-10", "--why", "\u00a0"],
        ["models", "promote", "1", "--pipeline", "flights", "--why", ""],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_reason_that_says_nothing_is_refused(run, arguments: list[str]) -> None:
    refused = run(*arguments)
    assert refused.code == 2
    assert "must say why" in refused.err
    assert refused.err.count("\n") == 1


def test_a_champion_whose_bundle_is_gone_is_listed_as_such(
    run, ready: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.registry import model_registry as registry
    from tests.unit.conftest import save_bundle

    monkeypatch.setenv("NIGHTSCORE_HOME", ready.root)
    for weights in ("a", "b"):
        bundle = save_bundle(ready, weights, "flights")
        registry.register(ready, "flights", bundle, {"eval_auc": 0.7}, {}, {})
    registry.promote(ready, "flights", 2, "me", "better")
    shown = run("models", "--pipeline", "flights")
    assert [line.split()[:5] for line in shown.out.splitlines()] == [
        ["pipeline", "version", "model", "aliases", "bundle"],
        ["flights", "2", "lr", "champion", "there"],
        ["flights", "1", "lr", "-", "there"],
    ]
    assert shown.err.splitlines()[1:] == []
    shutil.rmtree(registry.get(ready, "flights", 2).path)
    shown = run("models", "--pipeline", "flights")
    assert shown.code == 0
    assert "champion  gone" in shown.out
    assert "lr version 2 is champion, and its bundle is gone" in shown.err
    assert "nightscore models promote 1 --pipeline flights" in shown.err
    listed = [json.loads(line) for line in run("models", "--json").out.splitlines()]
    assert [one["bundle"] for one in listed] == ["gone", "there"]
