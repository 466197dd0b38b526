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
    "name",
    [
        "test_dags",
        "test_nights",
        "test_backfill_helper",
        "test_reports",
        pytest.param("test_standalone", marks=pytest.mark.slow),
    ],
)
def test_in_airflows_own_environment(name: str) -> None:
    if not PYTHON.exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    env = {key: value for key, value in os.environ.items() if "AIRFLOW" not in key}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/airflow/inside/{name}.py"],
        cwd=ROOT,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
