"""Runs the tests of `inside` where Airflow is: they see its real operators, forms and database."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-airflow" / "bin" / "python"

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize(
    "names",
    [
        # By themselves: one sees what parsing imports, and one all runs that are in the database.
        ("test_dags",),
        ("test_backfill_helper",),
        # In one process: to import Airflow and to make its database takes each ten seconds.
        ("test_nights", "test_reports", "test_fit", "test_fit_cluster"),
        pytest.param(("test_standalone",), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_in_airflows_own_environment(names: tuple[str, ...]) -> None:
    if not PYTHON.exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    env = {key: value for key, value in os.environ.items() if "AIRFLOW" not in key}
    files = [f"tests/airflow/inside/{name}.py" for name in names]
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
