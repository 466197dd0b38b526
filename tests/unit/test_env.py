"""Set-up finds a Python that fits, or says what to do, before it installs anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "infra" / "env.sh"
TOOLS = ("bash", "dirname", "ls", "tr", "flock", "sed", "grep", "mkdir", "touch", "head")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the script in an otherwise empty checkout, so that it stops before installing."""
    (tmp_path / "infra").mkdir()
    shutil.copy(SCRIPT, tmp_path / "infra" / "env.sh")
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        if path:
            (tmp_path / "bin" / tool).symlink_to(path)
    return tmp_path


def run(checkout: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "infra" / "env.sh"), "jobs"],
        env={"PATH": str(checkout / "bin"), "HOME": str(checkout), **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )


def add_python(checkout: Path, name: str, script: str) -> None:
    path = checkout / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_a_fitting_python_it_says_so_and_what_to_do(checkout: Path) -> None:
    add_python(checkout, "python3", "exit 1")
    done = run(checkout)
    assert done.returncode != 0
    assert "no Python 3.11 or 3.12 that runs was found" in done.stdout
    assert "PYTHON=/path/to/python3.11" in done.stdout
    assert not (checkout / ".venv").exists()


def test_a_named_python_that_does_not_fit_is_not_replaced_by_another(checkout: Path) -> None:
    add_python(checkout, "python3.11", f'exec {sys.executable} "$@"')
    done = run(checkout, PYTHON=str(checkout / "nowhere"))
    assert done.returncode != 0
    assert f"PYTHON={checkout}/nowhere does not fit" in done.stdout
    assert not (checkout / ".venv").exists()


def test_a_shim_that_does_not_run_is_passed_over(checkout: Path) -> None:
    add_python(checkout, "python3.11", "echo 'command not found' >&2; exit 127")
    add_python(checkout, "python3.12", f'exec {sys.executable} "$@"')
    done = run(checkout)
    assert f"set-up: .venv from {checkout}/bin/python3.12" in done.stdout


def test_an_unknown_environment_is_a_usage_error(checkout: Path) -> None:
    done = subprocess.run(
        [str(checkout / "infra" / "env.sh"), "other"],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "usage: infra/env.sh jobs|fit|airflow|bench" in done.stderr
