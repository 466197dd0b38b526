"""What setup.py says a part needs is what its code imports."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]
SCORING = (
    "scoring.bundle",
    "scoring.compile",
    "scoring.predict",
    "scoring.precision",
    "registry",
    "settings",
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py passes to setuptools."""
    seen: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **given: seen.update(given))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    return seen


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!]", requirement)[0] for requirement in requirements}


def imported(folder: Path) -> set[str]:
    """Top-level modules that are neither ours nor Python's."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"models"}


def test_the_training_extra_is_all_that_models_import(told: dict[str, Any]) -> None:
    given = names([*told["install_requires"], *told["extras_require"]["training"]])
    assert imported(ROOT / "models") <= given
    assert names(told["extras_require"]["models"]) <= names(told["extras_require"]["training"])


def test_the_models_extra_is_enough_to_score(told: dict[str, Any]) -> None:
    left_out = imported(ROOT / "models") - names(
        [*told["install_requires"], *told["extras_require"]["models"]]
    )
    assert left_out == {"fsspec", "petastorm", "pyarrow"}
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({[*left_out, 'pandas', 'pyspark']!r}))\n"
        + "\n".join(f"import models.{module}" for module in SCORING)
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_bench_extra_is_what_its_lock_pins_and_nothing_else_imports_it(
    told: dict[str, Any],
) -> None:
    lines = (ROOT / "infra" / "locks" / "bench.in").read_text().splitlines()
    asked = [line for line in lines if line and not line.startswith("#")]
    assert told["extras_require"]["bench"] == asked
    others = set().union(
        *(imported(ROOT / package) for package in ("dags", "feature_store", "jobs", "models"))
    )
    assert not names(asked) & others
