"""What is computed of rows, lookups and histories: by hand, and never of what is not known yet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import Categorical, Cross, Derived, Numeric
from feature_store.errors import DefinitionError
from feature_store.features.derived import ranged
from feature_store.features.values import check_expressions
from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.context import Context
from jobs.night.prepare import prepare
from tests.toy import Prices, Row, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DERIVED = (
    Derived(name="hour", expression="hour(planned_at)", dtype="int"),
    Derived(name="clicks", expression="item_ctr_count_2d * item_ctr_mean_2d"),
    Derived(name="share", expression="clicks / item_ctr_count_4d"),
    Derived(name="gap", expression="price - `prices.list_price`"),
    Derived(name="weekday", expression="weekday(ds)", dtype="int"),
    Derived(name="label", expression="concat(item, '-', cast(hour AS string))", dtype="string"),
)


def test_columns_are_computed_of_what_each_row_knows(spark: SparkSession, home: Home) -> None:
    rows = [
        Row(day=0, user="a", item="x", clicked=True),
        Row(day=0, user="b", item="x", clicked=False),
        # Its click is told too late to count on day 1.
        Row(day=0, user="c", item="x", clicked=True, click_known=80.0),
        Row(day=1, user="a", item="x", price=5.0, planned=-3.0),
        Row(day=2, user="a", item="x", price=5.0, planned=-9.0),
        Row(day=2, user="b", item="y", price=None),
    ]
    prices = Prices(tuple(("x", day, -1.0, -1.0, 4.0) for day in range(3)))
    toy = toy_definition(rows, prices)
    definition = replace(
        toy,
        derived=DERIVED,
        features=(
            *toy.features,
            Categorical(name="part_of_day", column="hour", bounds=(18, 21)),
            Categorical(name="kind", column="label"),
            Cross(name="user_hour", of=("user", "hour")),
            *(Numeric(name=name, column=name) for name in ("clicks", "share", "gap", "weekday")),
        ),
    )
    context = Context.open(definition, home, spark)
    prepare(context, toy_days(3), lambda _: None)
    first = toy_days(1)[0]
    names = ("part_of_day", "kind", "user_hour", "clicks", "share", "gap")
    found = {
        ((row["ds"] - first).days, row["user"]): tuple(row[name] for name in names)
        for row in context.warehouse.read(FEATURES).collect()
    }
    weekdays = {
        row["ds"].weekday(): row["weekday"] for row in context.warehouse.read(FEATURES).collect()
    }
    assert weekdays == {day.weekday(): day.weekday() for day in toy_days(3)}
    # No click was known on day 0, nor of item y: what divides by none of them is null.
    assert found[0, "a"] == ("18..21", "x-18", "a\u001f18", None, None, -3.0)
    assert found[1, "a"] == (">=21", "x-21", "a\u001f21", None, None, 1.0)
    assert found[2, "a"] == ("<18", "x-15", "a\u001f15", 1.0, 0.5, 1.0)
    assert found[2, "b"] == ("18..21", "y-18", "b\u001f18", None, None, None)


def test_ranges_hold_their_lower_bound(spark: SparkSession) -> None:
    values = [(-1.0,), (0.0,), (0.49,), (0.5,), (1e9,), (None,)]
    frame = spark.createDataFrame(values, "value double")
    found = frame.select(ranged(frame["value"], (0, 0.5, 1e9)).alias("range")).collect()
    assert [row["range"] for row in found] == [
        "<0",
        "0..0.5",
        "0..0.5",
        "0.5..1e+09",
        ">=1e+09",
        None,
    ]


def test_what_spark_cannot_read_is_refused_with_its_field(spark: SparkSession) -> None:
    wrong = Derived(name="wrong", expression="hour(price)", dtype="int")
    with pytest.raises(
        DefinitionError, match=r"derived.wrong='hour\(price\)': Spark cannot read it"
    ):
        check_expressions(spark, replace(toy_definition(()), derived=(wrong,)))
