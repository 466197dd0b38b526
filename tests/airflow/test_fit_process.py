"""The real fit as the process of a task: its log, its receipt, and what a kill leaves of it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dags import _fit_command
from models.fit.recipe import FitRecipe
from tests.airflow.server import ROOT, clean_environment, free_port, wait_for
from tests.frozen import make_recipe, write_set

PYTHON = ROOT / ".venv-airflow" / "bin" / "python"

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

TASK = """
import json, logging, os, signal, sys
from dags._fit_here import Fit
from dags._fit_place import Here
told = json.loads(sys.argv[1])
fit = Fit(Here(**told["place"]), [told["recipe"], "--json"])
class Log(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), file=sys.stderr, flush=True)
        if record.getMessage().startswith(told["stop_at"]):
            fit.kill()
            if told["then_dies"]:
                os.kill(os.getpid(), signal.SIGKILL)
logging.getLogger("dags").addHandler(Log())
logging.getLogger("dags").setLevel("INFO")
print(json.dumps(fit.run()))
"""


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A training whose fit takes longer than a test waits."""
    if not PYTHON.exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    write_set(tmp_path / "set")
    recipe: FitRecipe = make_recipe(tmp_path / "set")
    long = {**recipe.train, "epochs": 5000, "patience": 5000}
    dataclasses.replace(recipe, train=long).write(tmp_path / "training")
    return tmp_path / "training"


def run_task(
    training: Path, processes: int, stop_at: str, *, then_dies: bool = False
) -> subprocess.CompletedProcess[str]:
    place = {"processes": processes, "python": sys.executable}
    told = {
        "place": place, "recipe": str(training), "stop_at": stop_at, "then_dies": then_dies,
    }  # fmt: skip
    own = {"PYTHONPATH": str(ROOT), "AIRFLOW_HOME": str(training), "NIGHTSCORE_CORES": "1"}
    return subprocess.run(
        [PYTHON, "-c", TASK, json.dumps(told)], env=clean_environment(**own),
        cwd=training, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip


def failure(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1])["failure"])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_fit_that_is_stopped_says_so_and_the_next_try_goes_on(
    training: Path, processes: int
) -> None:
    told = failure(run_task(training, processes, "epoch 3:"))
    assert (told["error"], told["final"]) == ("Stopped", False)
    assert (training / "checkpoint.json").is_file()
    assert not (training / "bundle").exists()

    again = run_task(training, processes, "epoch")
    assert failure(again)["error"] == "Stopped"
    epochs = [line for line in again.stderr.splitlines() if line.startswith("epoch")]
    assert int(epochs[0].split()[1].rstrip(":")) > 3


def test_a_fit_whose_task_dies_of_the_kill_keeps_what_it_had_all_the_same(training: Path) -> None:
    """Airflow kills a task that has not ended five seconds after it was asked to."""
    done = run_task(training, 1, "epoch 3:", then_dies=True)
    assert done.returncode == -9
    wait_for(
        lambda: (training / "checkpoint.json").is_file(), 60, lambda: str(os.listdir(training))
    )


def test_what_is_wrong_with_a_recipe_is_final(training: Path) -> None:
    recipe = training / "recipe.json"
    recipe.write_text(recipe.read_text().replace("5000", "5001"))
    told = failure(run_task(training, 2, "never"))
    assert (told["error"], told["final"]) == ("RecipeInvalid", True)


def test_the_nodes_of_a_cluster_fit_together(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    make_recipe(tmp_path / "set").write(tmp_path / "training")
    master = ("127.0.0.1", str(free_port()))
    nodes = []
    for rank in ("0", "1"):
        command = _fit_command.on_each_of(2, sys.executable, 1, rank, master, 100)
        receipt = f"--receipt={tmp_path / rank}.json"
        nodes.append(
            subprocess.Popen(
                [*command, str(tmp_path / "training"), receipt],
                env=clean_environment(PYTHONPATH=str(ROOT), NIGHTSCORE_CORES="1"),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    said = [node.communicate(timeout=240)[0] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said
    assert json.loads((tmp_path / "0.json").read_text())["fit"]["reused"] is False
    assert not (tmp_path / "1.json").exists(), "the leader tells"
    assert (tmp_path / "training" / "bundle").is_dir()
