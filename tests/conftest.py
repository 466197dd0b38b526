"""One Spark session for all tests, and a fresh home for each."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Gate
from feature_store.home import Home
from tests.once import made_once
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.training.train import TrainResult

OpenToy = Callable[..., "Context"]

SEGMENTED = Gate(min_auc=0.6, max_ece=0.5, segments=("item",), min_segment_rows=20)
"""The gate that the champion passed."""
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The shared Spark session: two cores, workers retried after a crash."""
    from jobs.machine.spark import start_spark

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSCORE_CORES", "2")
        # Where Java's own log goes.
        patch.setenv("NIGHTSCORE_HOME", str(tmp_path_factory.mktemp("spark-logs")))
        # Of much code that runs a few times each, Java's optimising compiler makes little: four
        # files of tests took 377 s without it, and 445 s with it.
        session = start_spark("nightscore-tests", is_quick=True)
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


@dataclass(frozen=True)
class Champion:
    """A home with a first model of the toy pipeline, and how its training went."""

    home: Home
    result: TrainResult
    said: list[str]


@pytest.fixture(scope="session")
def champion(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """Eight days of features and a champion, compiled as at work; not to be written to."""
    from jobs.context import Context
    from jobs.training.train import train

    def build(folder: Path) -> None:
        days, said = toy_days(8), list[str]()
        home = Home.of(folder / "champion")
        context = Context.open(clicky_definition(gate=SEGMENTED), home, spark)
        result = train(context, days[0], days[4], days[7], on_progress=said.append, who="tests")
        (folder / "training.pickle").write_bytes(pickle.dumps((result, said)))

    folder = _made_once_here(tmp_path_factory, "champion", build)
    # What another of these processes wrote a moment ago.
    result, said = pickle.loads((folder / "training.pickle").read_bytes())  # noqa: S301
    return Champion(Home.of(folder / "champion"), result, said)


@pytest.fixture(scope="session")
def champion_home(champion: Champion) -> Home:
    """The home of that champion; not to be written to."""
    return champion.home


@pytest.fixture(scope="session")
def published_home(
    spark: SparkSession, champion_home: Home, tmp_path_factory: pytest.TempPathFactory
) -> Home:
    """That home with its eight days published by one backfill; not to be written to."""
    from jobs.backfill.backfill import Backfill, Options
    from jobs.backfill.plan import PlanRequest, make_plan
    from jobs.context import Context
    from jobs.registry import model_registry

    def build(folder: Path) -> None:
        shutil.copytree(champion_home.root, folder)
        home = Home.of(folder)
        context = Context.open(clicky_definition(), home, spark)
        champion = model_registry.champion(home, "toy")
        request = PlanRequest(days=tuple(toy_days(8)), model=champion, who="tests", why="fixture")
        plan = make_plan(context, request)
        Backfill(context, plan, Options(), lambda *_: None, lambda _: None).run()

    return Home.of(_made_once_here(tmp_path_factory, "published", build))


def _made_once_here(
    factory: pytest.TempPathFactory, name: str, build: Callable[[Path], None]
) -> Path:
    """Return a folder with its own registry of models, whatever the environment names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return made_once(factory, name, build)


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
