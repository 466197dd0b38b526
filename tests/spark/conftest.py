"""A home with a real champion: trained, compiled and registered once, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.home import Home
from jobs.context import Context
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

OpenToy = Callable[..., Context]


@pytest.fixture(scope="session")
def champion_home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Eight days of features and a champion of the toy pipeline; not to be written to."""
    from jobs.train import train

    days = toy_days(8)
    home = Home.of(tmp_path_factory.mktemp("champion") / "home")
    context = Context.open(clicky_definition(), home, spark, "1")
    train(context, days[0], days[4], days[7], on_progress=lambda _: None, who="tests")
    return home


@pytest.fixture
def open_toy(
    spark: SparkSession, champion_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenToy:
    """Open the toy pipeline over a copy of that home: `open_toy(definition=…, code=…)`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home.of(tmp_path / "home")
    shutil.copytree(champion_home.root, home.root)

    def opened(definition: Definition | None = None, code: str = "1") -> Context:
        return Context.open(definition or clicky_definition(), home, spark, code)

    return opened
