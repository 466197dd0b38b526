"""Which columns hold the same entity, by what a definition says is equal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feature_store.definition import History, Lookup
from feature_store.definition import Sequence as SequenceOf
from feature_store.definition.entity import ROW, columns_of_entity
from feature_store.definitions import shop_ads, shop_reorder
from feature_store.errors import UsageError
from jobs.maintenance.traces import entity_columns
from tests.sales import sales_stream
from tests.toy import Prices, price_stream, toy_definition

TOY, SALES = toy_definition(()), sales_stream(())


def test_what_is_equal_to_an_entity_holds_it_under_its_own_name() -> None:
    of_sales = History(
        name="spent", stream=SALES, keys=("buyer",), on=("user",), value="amount", known="told",
        windows=(7,),
    )  # fmt: skip
    definition = replace(TOY, histories=(*TOY.histories, of_sales))
    both = {ROW: {"user"}, "toy": {"user"}, "sales": {"buyer"}}
    assert columns_of_entity(definition, "user") == both
    assert columns_of_entity(definition, "buyer") == both
    assert columns_of_entity(definition, "item") == {ROW: {"item"}, "toy": {"item"}}
    # A number that only the other stream tells, and nothing is asked by.
    assert columns_of_entity(definition, "number") == {"sales": {"number"}}


def test_an_entity_is_followed_through_lookups_and_sides_of_a_spine() -> None:
    chained = (
        Lookup(name="first", stream=price_stream(Prices(())), columns=("list_price",), at=None,
               keys=("item",), max_age_hours=24),
        Lookup(name="last", stream=replace(SALES, kind="changes"), keys=("amount",),
               on=("first.list_price",), columns=("buyer",), max_age_hours=24),
    )  # fmt: skip
    definition = replace(TOY, lookups=tuple(replace(lk, at="happened_at") for lk in chained))
    assert columns_of_entity(definition, "item")["prices"] == {"item"}
    assert columns_of_entity(definition, "list_price")["sales"] == {"amount"}
    found = columns_of_entity(shop_reorder.DEFINITION, "user_id")
    assert found == {ROW: {"user_id"}, "shop_orders": {"user_id"}, "shop_users": {"user_id"}}
    assert {"shop_impressions", "shop_clicks", "shop_orders", "shop_users", ROW} == {
        *columns_of_entity(shop_ads.DEFINITION, "user_id")
    }


def test_a_sequence_is_asked_by_its_keys() -> None:
    bought = SequenceOf(
        name="bought", stream=SALES, keys=("buyer",), on=("user",), value="number", known="told",
        length=3, days=28,
    )  # fmt: skip
    found = columns_of_entity(replace(TOY, sequences=(bought,)), "user")
    assert found["sales"] == {"buyer"}


def test_a_column_that_no_stream_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="'usr' is no column of what toy reads; did you mean"):
        entity_columns(TOY, "usr")
