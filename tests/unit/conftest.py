"""A registry of models without models: bundles that pass for real ones until they are loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from feature_store.home import Home
from jobs.registry import model_registry as registry

FILES = (
    "weights.safetensors",
    "tables.safetensors",
    "model.pt2",
    "signature.json",
    "metrics.json",
    "golden.safetensors",
)


def save_bundle(home: Home, weights: str, pipeline: str = "toy") -> Path:
    """A folder that passes for a bundle until it is loaded."""
    place = registry.new_bundle_path(home, pipeline)
    place.mkdir(parents=True)
    for name in FILES:
        (place / name).write_text(weights)
    sums = {name: hashlib.sha256(weights.encode()).hexdigest() for name in FILES}
    (place / "manifest.json").write_text(json.dumps({"format": 1, "model": "lr", "files": sums}))
    return place


@pytest.fixture(autouse=True)
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that starts Spark by mistake would stop, at its end, the session of all tests."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test starts Spark")

    monkeypatch.setattr("jobs.machine.spark.start_spark", refuse)


@pytest.fixture(scope="session")
def registry_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database, made once: its migrations take seconds."""
    home = Home.of(tmp_path_factory.mktemp("registry"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registry.register(home, "other", save_bundle(home, "z", "other"), {}, {}, {})
    return home.local_path("mlflow.db")


@pytest.fixture
def ready(home: Home, registry_database: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose database is there."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home.local_path("mlflow.db").parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(registry_database, home.local_path("mlflow.db"))
    return home
