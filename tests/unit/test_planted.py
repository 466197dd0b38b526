"""Who adds a pipeline, a source or a model writes its file (and an entry), and breaks no test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.version import ROOT

LISTS = (
    "test_cli", "test_definitions", "test_docs_models", "test_recipe", "test_revisions",
    "models/test_settings", "models/test_spec",
)  # fmt: skip
"""The tests that speak of all pipelines, of all models or of the code."""

PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow",
)  # fmt: skip

ENTRY = """
MODELS["pairs"] = ModelSpec(
    name="pairs", module="models.zoo.pairs", config="PairsConfig",
    description="Planted by a test", paper="None",
)
"""


def plant(root: Path) -> None:
    """Copy the code and its tests, and add one of each kind."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )  # fmt: skip
    for name in listed.stdout.decode().splitlines():
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes((ROOT / name).read_bytes())
    clicks = (root / "feature_store/definitions/clicks.py").read_text()
    orders = clicks.replace('name="clicks"', 'name="orders"').replace(
        "from feature_store.sources.clicks import", "from feature_store.sources.orders import"
    )
    (root / "feature_store/definitions/orders.py").write_text(orders)
    source = (root / "feature_store/sources/clicks.py").read_text()
    without = "\n".join(line for line in source.splitlines() if " revision: ClassVar" not in line)
    (root / "feature_store/sources/orders.py").write_text(without)
    factors = (root / "models/zoo/fm.py").read_text()
    (root / "models/zoo/pairs.py").write_text(factors.replace("FMConfig", "PairsConfig"))
    with (root / "models/registry.py").open("a") as registry:
        registry.write(ENTRY)


@pytest.mark.slow
def test_a_new_pipeline_source_and_model_break_no_test(tmp_path: Path) -> None:
    plant(tmp_path)
    done = subprocess.run(
        [*PYTEST, *(f"tests/unit/{name}.py" for name in LISTS)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    listed = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "pipelines"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "orders" in listed.stdout
