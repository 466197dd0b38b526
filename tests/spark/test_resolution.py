"""Values that float32 would melt together stop a training, and an offset keeps them apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Categorical, Numeric, plain
from feature_store.errors import NightscoreError
from feature_store.features.encode import numeric_values
from jobs.training.resolution import refuse_coarse
from tests.toy import toy_definition

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feature_store.definition import Definition

SECONDS = 1_700_000_000.0


def definition(numeric: Numeric) -> Definition:
    features = (Categorical(name="user", column="user"), numeric)
    return replace(toy_definition(()), features=features, histories=(), checks=())


def frame(spark: SparkSession, values: list[float | None]) -> DataFrame:
    rows = [(date(2026, 1, 1), "u", "i", value) for value in values]
    return spark.createDataFrame(rows, "ds date, user string, item string, age double")


def test_neighbours_that_would_become_one_are_refused_with_the_offset_to_give(
    spark: SparkSession,
) -> None:
    rows = frame(spark, [SECONDS + n for n in range(60)])
    bare = Numeric(name="age", column="price")
    with pytest.raises(
        NightscoreError, match=r"features\.age: .* steps of 203 .*offset=1700000000"
    ):
        refuse_coarse(rows, definition(bare))
    mended = definition(replace(bare, offset=SECONDS))
    refuse_coarse(rows, mended)
    values = [row[0] for row in rows.select(numeric_values(mended)["age"]).collect()]
    assert values == [float(n) for n in range(60)]


@pytest.mark.parametrize(
    "values",
    [
        [SECONDS, SECONDS, None],
        [None],
        [0.1, 0.2, 3.0],
        [SECONDS, SECONDS - 30 * 86_400.0],
        [],
    ],
)
def test_what_float32_holds_well_enough_is_let_through(
    spark: SparkSession, values: list[float | None]
) -> None:
    refuse_coarse(frame(spark, values), definition(Numeric(name="age", column="price")))


def test_an_offset_that_is_not_used_is_no_part_of_the_definition() -> None:
    assert "offset" not in plain(Numeric(name="age", column="price"))
    assert plain(Numeric(name="age", column="price", offset=5.0))["offset"] == 5.0
