"""The SQL that the benchmark of features compares with makes the same rows as nightscore."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.features import verify
from tests.benchmarks.features_case import Case
from tests.benchmarks.features_runs import Runs

pytest.importorskip("duckdb", reason="infra/env.sh bench installs it")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_sql_makes_the_same_features_and_training_sets(tmp_path: Path) -> None:
    runs = Runs(tmp_path, {"threads": 2, "memory": "2gb"})
    cases = [
        Case(pipeline="shop_ads", size=3_000, history=10),
        Case(pipeline="shop_reorder", size=10_000, history=30),
    ]
    assert verify(runs, cases) == []
