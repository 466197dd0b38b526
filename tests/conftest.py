"""One Spark session for all tests, and a fresh home for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from feature_store.home import Home

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The shared Spark session: two cores, workers retried after a crash."""
    from jobs.spark import start_spark

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTSCORE_CORES", "2")
        # Short queries never pay for the optimising compiler; the tests are a third faster.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        session = start_spark("nightscore-tests")
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
