"""How tables are split into what is read of them is said before there is a Spark."""

from __future__ import annotations

import pytest
from pyspark import SparkContext

from feature_store import definitions
from feature_store.schema import EVENTS, FEATURES, TILES, stream_table
from jobs.night.reading import content_of


@pytest.mark.parametrize(
    "table",
    [
        stream_table("flights", EVENTS),
        stream_table("flights", TILES),
        stream_table("nyc_weather", EVENTS),
        stream_table("nyc_planes", EVENTS),
        FEATURES,
    ],
)
def test_a_plan_asks_for_the_split_of_a_table_without_spark(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    assert content_of(definitions.load("flights"), table).rule
