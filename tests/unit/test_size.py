"""How large a pipeline's days are, before Spark has started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.night.size import LARGE_DAY, has_large_days
from tests.toy import toy_days


def context_of(home: Home, *rows: int) -> Any:
    commits = {
        (FEATURES, day, ""): SimpleNamespace(rows=count)
        for day, count in zip(toy_days(len(rows)), rows, strict=True)
    }
    return SimpleNamespace(home=home, warehouse=SimpleNamespace(commits=lambda _: commits))


@pytest.mark.parametrize(
    ("rows", "is_large"),
    [((), False), ((LARGE_DAY,), True), ((LARGE_DAY - 1,), False), ((LARGE_DAY, 5), False)],
)
def test_the_newest_day_says_whether_days_are_large(
    tmp_path: Path, rows: tuple[int, ...], is_large: bool
) -> None:
    assert has_large_days(context_of(Home.of(tmp_path), *rows)) is is_large


def test_of_an_object_store_nobody_knows_before_spark_reads_it() -> None:
    def unasked(_: str) -> dict[Any, Any]:
        raise AssertionError("it is read through Spark")

    far = SimpleNamespace(
        home=SimpleNamespace(is_local=False), warehouse=SimpleNamespace(commits=unasked)
    )
    assert not has_large_days(far)  # type: ignore[arg-type]
