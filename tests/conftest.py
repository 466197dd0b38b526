"""One Spark session for all tests, and a fresh home for each."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.home import Home
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from jobs.context import Context

OpenToy = Callable[..., "Context"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The shared Spark session: two cores, workers retried after a crash."""
    from jobs.machine.spark import start_spark

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSCORE_CORES", "2")
        # Where Java's own log goes.
        patch.setenv("NIGHTSCORE_HOME", str(tmp_path_factory.mktemp("spark-logs")))
        # Twenty minutes in one Java, which writes no new code: its optimising compiler pays.
        session = start_spark("nightscore-tests")
    # To write and compile code for every few rows was a third of the tests' time. The tests that
    # start a process of their own, the slow ones and the benchmarks run with it.
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    yield session
    session.stop()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home of its own."""
    return Home.of(tmp_path / "home")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets; skips where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the shared data sets are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def champion_home(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Eight days of features and a champion of the toy pipeline; not to be written to."""
    from jobs.context import Context
    from jobs.training.train import train

    def build(home: Home) -> None:
        days = toy_days(8)
        context = Context.open(clicky_definition(), home, spark)
        train(context, days[0], days[4], days[7], on_progress=lambda _: None, who="tests")

    return _made_once(tmp_path_factory, "champion", build)


@pytest.fixture(scope="session")
def published_home(
    spark: SparkSession, champion_home: Home, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """That home with its eight days published by one backfill; not to be written to."""
    from jobs.backfill.backfill import Backfill, Options
    from jobs.backfill.plan import PlanRequest, make_plan
    from jobs.context import Context
    from jobs.registry import model_registry

    def build(home: Home) -> None:
        shutil.copytree(champion_home.root, home.root)
        context = Context.open(clicky_definition(), home, spark)
        champion = model_registry.champion(home, "toy")
        request = PlanRequest(days=tuple(toy_days(8)), model=champion, who="tests", why="fixture")
        plan = make_plan(context, request)
        Backfill(context, plan, Options(), lambda *_: None, lambda _: None).run()

    return _made_once(tmp_path_factory, "published", build)


def _made_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Home], None]) -> Home:
    """Return a home that one of the processes that run the tests builds, and all of them use."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            draft = shared / f"{name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            with pytest.MonkeyPatch.context() as patch:
                patch.delenv("MLFLOW_TRACKING_URI", raising=False)
                build(Home.of(draft))
            draft.rename(place)
    return Home.of(place)


@pytest.fixture
def open_toy(
    spark: SparkSession, champion_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenToy:
    """Open the toy pipeline over a copy of the champion's home."""
    return _opener(spark, champion_home, tmp_path, monkeypatch)


@pytest.fixture
def open_published(
    spark: SparkSession, published_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenToy:
    """Open the toy pipeline over a copy of the published home."""
    return _opener(spark, published_home, tmp_path, monkeypatch)


def _opener(
    spark: SparkSession, source: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenToy:
    """Return `open(definition=…)` over one copy of a home."""
    from jobs.context import Context

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = Home.of(folder / Path(source.root).name)
    shutil.copytree(source.root, home.root)

    def opened(definition: Definition | None = None) -> Context:
        return Context.open(definition or clicky_definition(), home, spark)

    return opened
