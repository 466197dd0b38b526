"""Each line of the tutorial runs as it stands, and prints what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from jobs.version import ROOT
from tests.tutorial import PAGE, blocks, is_printed, script

pytestmark = pytest.mark.slow  # a reader's quarter of an hour: each command starts Spark


@pytest.mark.timeout(1_800)
def test_each_line_of_the_tutorial_runs_and_prints_what_it_says(tmp_path: Path) -> None:
    """In a checkout of its own, where `init` writes to and pipelines are found."""
    checkout, outputs = tmp_path / "checkout", tmp_path / "outputs"
    for package in ("feature_store", "jobs", "models"):
        copytree(ROOT / package, checkout / package, ignore=ignore_patterns("__pycache__"))
    (checkout / ".venv").symlink_to(sys.prefix)
    code = _files(checkout)

    outputs.mkdir()
    parts = blocks(PAGE.read_text())
    for block in parts:
        if block.kind == "write":
            (outputs / str(block.line)).write_text(block.text)
    done = subprocess.run(
        ["bash", "-c", script(parts, outputs)],
        capture_output=True, text=True, env=_environment(checkout), cwd=checkout, check=False,
    )  # fmt: skip
    at = f"{PAGE.name}:{(outputs / 'at').read_text().strip()}"
    assert done.returncode == 0, f"{at}: exit code {done.returncode}\n{done.stderr}"

    for ran, said in pairwise(parts):
        if said.kind == "print":
            printed = (outputs / str(ran.line)).read_text()
            assert is_printed(said.text, printed), f"{PAGE.name}:{said.line}: printed\n{printed}"
    assert _files(checkout) == code, "the last line leaves nothing behind"


def _environment(checkout: Path) -> dict[str, str]:
    """What a shell has that was opened in a checkout, for which nobody has set anything."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NIGHTSCORE_", "MLFLOW_", "SPARK_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(checkout),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NIGHTSCORE_CORES": "2",
        "NIGHTSCORE_SOURCE_CACHE": str(checkout.parent / "cache"),
    }


def _files(checkout: Path) -> set[str]:
    return {
        path.relative_to(checkout).as_posix()
        for path in checkout.rglob("*")
        if ".venv" not in path.parts and path.is_file()
    }
