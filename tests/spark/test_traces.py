"""What tables hold of an entity, counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.definition import History
from feature_store.definition import Sequence as SequenceOf
from feature_store.home import Home
from jobs.context import Context
from jobs.maintenance.traces import entity_columns, traces
from jobs.night.prepare import prepare
from tests.conftest import Champion
from tests.sales import BUYERS, Sale, sales_stream
from tests.toy import Row, clicky_definition, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = 4
SALES = (
    Sale(day=0, number=1, buyer="a", amount=5.0),
    Sale(day=0, number=2, buyer="b", amount=5.0),
    # It was a's until it was told again.
    Sale(day=1, number=1, buyer="a", amount=5.0),
    Sale(day=1, number=1, buyer="b", amount=5.0, known=40.0),
    Sale(day=2, number=1, buyer="b", amount=5.0),
)


@pytest.mark.slow
def test_every_table_says_what_it_holds_of_an_entity(spark: SparkSession, home: Home) -> None:
    rows = [Row(day=day, user=user, item="x") for day in range(DAYS) for user in BUYERS[:3]]
    # A row of a that is a bad one.
    rows.append(Row(day=1, user="a", item="y", price=-1.0))
    spent = History(
        name="spent", stream=sales_stream(SALES), keys=("buyer",), on=("user",), value="amount",
        known="told", windows=(2,), aggregates=("sum", "distinct"),
    )  # fmt: skip
    last = SequenceOf(name="last", stream=spent.stream, keys=("buyer",), on=("user",),
                      value="number", known="told", length=2, days=3)  # fmt: skip
    toy = toy_definition(rows)
    definition = replace(toy, histories=(*toy.histories, spent), sequences=(last,))
    context = Context.open(definition, home, spark)
    prepare(context, toy_days(DAYS), lambda _: None)

    found = {t.table: t for t in traces(context, entity_columns(definition, "user"), "a")}
    told = {name: (trace.rows, trace.days) for name, trace in found.items()}
    assert told["streams/toy/events"] == (DAYS, DAYS)
    assert told["streams/toy/quarantine"] == (1, 1)
    assert told["features"] == (DAYS, DAYS)
    # As it is now, and as it was.
    assert told["streams/sales/events"] == (2, 2)
    assert told["streams/sales/quarantine"] == (1, 1)
    # Of sums, of which values there are and of the sequence, of two days; those of the second are
    # taken off again.
    assert told["streams/sales/tiles"] == (9, 2)
    assert told["streams/toy/tiles"] == (0, 0)
    assert "scores" not in told, "there is none yet"
    assert (found["features"].first, found["features"].last) == (
        toy_days(DAYS)[0],
        toy_days(DAYS)[-1],
    )

    # By the name that another stream has for it; and a value that it holds, not its key.
    again = {t.table: t.rows for t in traces(context, entity_columns(definition, "buyer"), "a")}
    assert again == {name: rows for name, (rows, _) in told.items()}
    numbers = {t.table: t.rows for t in traces(context, entity_columns(definition, "number"), "2")}
    assert numbers["streams/sales/events"] == 1
    # The sequence of b holds it on the two days after; on the third there are two newer ones.
    assert numbers["features"] == 2
    nobody = traces(context, entity_columns(definition, "user"), "nobody")
    assert {trace.rows for trace in nobody} == {0}


def test_a_training_set_is_searched_by_the_hash_it_keeps(
    spark: SparkSession, champion: Champion
) -> None:
    definition = clicky_definition()
    context = Context.open(definition, champion.home, spark)
    found = {t.table: t for t in traces(context, entity_columns(definition, "user"), "u3")}
    (of_set,) = (t for name, t in found.items() if name.startswith("training_sets/"))
    # Six items of each user on each day that is learned from, or judged.
    assert of_set.rows == 6 * of_set.days > 0
    assert found["features"].rows == found["streams/toy/events"].rows == 48
