"""What came last, and what is multi-valued: against sales looked at one by one, and encoded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from feature_store.definition import MultiValued
from feature_store.definition import Sequence as SequenceOf
from feature_store.features.encode import KEYS, VALUES, category_key, pack, widen
from feature_store.features.features import build_features
from feature_store.home import Home
from feature_store.schema import FEATURES, TILES, stream_table
from jobs.context import Context
from jobs.night.prepare import prepare
from jobs.training.recipe import signature_of
from tests.sales import BUYERS, Sale, sales_stream, some_sales, standing
from tests.toy import Row, toy_days, toy_definition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

DAYS, LENGTH, WINDOW = 9, 3, 5


def shop(sales: Sequence[Sale]) -> Definition:
    rows = [Row(day=day, user=user, item="x") for day in range(DAYS) for user in BUYERS]
    toy, stream = toy_definition(rows), sales_stream(sales)
    bought = SequenceOf(
        name="bought", stream=stream, keys=("buyer",), on=("user",), value="number", known="told",
        length=LENGTH, days=WINDOW,
    )  # fmt: skip
    # Of a text that is computed, of some rows, and of what the scored stream tells itself.
    high = replace(bought, name="high", value="concat('n', number)", where="amount > 0", days=2)
    seen = replace(bought, name="seen", stream=None, keys=("user",), on=(), value="item", length=2,
                   known="plan", like="item")  # fmt: skip
    return replace(toy, sequences=(bought, high, seen))


def by_hand(sales: Sequence[Sale], day: int, buyer: str) -> dict[str, list[object]]:
    known = [sale for sale in standing(sales, 24 * day) if sale.buyer == buyer]
    found: dict[str, list[object]] = {}
    for name, window in (("bought", WINDOW), ("high", 2)):
        own = [s for s in known if day - window <= s.day < day and (name == "bought" or s.amount)]
        last = sorted((s.day, s.hour, str(s.number)) for s in own)[-LENGTH:]
        found[name] = [f"n{number}" if name == "high" else number for _, _, number in last]
        found[f"{name}_days"] = [day - of for of, _, _ in last]
    found["seen"] = ["x"] * min(day, 2)
    found["seen_days"] = [2, 1] if day > 1 else [1] * day
    return found


def test_the_last_values_that_stand_at_the_cut_off_newest_last(
    spark: SparkSession, home: Home
) -> None:
    sales = [replace(sale, hour=12.0 + sale.number // 2) for sale in some_sales(8, a_day=5)]
    definition = shop(sales)
    context = Context.open(definition, home, spark)
    days = toy_days(DAYS)
    prepare(context, days, lambda _: None)
    stored = context.warehouse.read(FEATURES)
    names = [name for s in definition.sequences for name in (s.name, s.ages)]
    found = {
        ((row["ds"] - days[0]).days, row["user"]): {name: row[name] for name in names}
        for row in stored.collect()
    }
    assert len(found) == DAYS * len(BUYERS)
    for (day, buyer), values in found.items():
        assert values == by_hand(sales, day, buyer)
    assert {len(values["bought"]) for values in found.values()} == {0, 1, 2, 3}

    # A day by itself gives what all gave together.
    tiles = context.warehouse.read(stream_table("sales", TILES)).unionByName(
        context.warehouse.read(stream_table("toy", TILES)), allowMissingColumns=True
    )
    events = context.warehouse.read(context.events, [days[6]])
    one = build_features(events, tiles, {}, definition, [days[6]])
    assert {(6, row["user"]): {n: row[n] for n in names} for row in one.collect()} == {
        (day, buyer): values for (day, buyer), values in found.items() if day == 6
    }

    # What a training reads, column by column, is what is scored, packed.
    signature = signature_of(definition)
    columns = [f"k_{name}" for name in signature.key_columns]
    ages = [f"v_{name}" for name in signature.value_columns]
    wide = widen(stored.orderBy("ds", "user"), definition).toPandas()
    packed = pack(stored, definition).orderBy("ds", "user").toPandas()
    assert list(wide.columns) == [*columns, *ages]
    np.testing.assert_array_equal(wide[columns].to_numpy(), np.stack(list(packed[KEYS])))
    np.testing.assert_array_equal(wide[ages].to_numpy(), np.stack(list(packed[VALUES])))
    # An item that was seen has the key that it has where it is scored; what is not there has none.
    keys = wide[["k_item", "k_seen_0", "k_seen_1"]].to_numpy()
    place = np.array([day for day, _ in sorted(found)])
    np.testing.assert_array_equal(keys[:, 1], np.where(place > 0, keys[:, 0], 0))
    np.testing.assert_array_equal(keys[:, 2], np.where(place > 1, keys[:, 0], 0))
    assert np.isnan(wide["v_seen_1"].to_numpy()[place < 2]).all()


def test_a_text_of_several_values_is_split_each_value_once(spark: SparkSession) -> None:
    tags = MultiValued(name="tags", column="item", length=3, separator="|")
    toy = toy_definition(())
    definition = replace(toy, features=(*toy.features, tags))
    texts = ["a| b |a||c|d", "b", "", None, " | ", "a.b|a"]
    frame = spark.createDataFrame(
        [(place, text) for place, text in enumerate(texts)], "place int, tags string"
    )
    for name in definition.categorical_names():
        frame = frame.selectExpr("*", f"'x' AS {name}")
    for name in definition.numeric_names():
        frame = frame.selectExpr("*", f"CAST(1 AS double) AS {name}")
    wide = widen(frame, definition, "place").orderBy("place").collect()
    words = spark.createDataFrame([("a",), ("b",), ("c",), ("a.b",)], "word string")
    keys = {row[0]: row[1] for row in words.select("word", category_key("word")).collect()}
    wanted = [["a", "b", "c"], ["b"], [], [], [], ["a.b", "a"]]
    assert [[row[f"k_tags_{place}"] for place in range(3)] for row in wide] == [
        [*(keys[word] for word in own), *[0] * (3 - len(own))] for own in wanted
    ]
