"""What is refused of streams and of histories over them, and what follows from a definition."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, get_args

import pytest

from feature_store.definition import Aggregate, Column, Definition, History
from feature_store.errors import DefinitionError
from tests.sales import sales_stream
from tests.spark.test_streams import DAYS, impressions, shop
from tests.toy import changed

SALES = sales_stream(())
SHOP = shop((), SALES)
BOUGHT = SHOP.histories[-1]


@pytest.mark.parametrize(
    ("history", "text"),
    [
        ({"keys": ("nobody",)}, r"bought.keys='nobody': is not a column of the stream sales"),
        ({"keys": ("Buyer",)}, r"bought.keys='Buyer': .* did you mean 'buyer'"),
        ({"on": ()}, r"bought.keys='buyer': must be a column known beforehand"),
        ({"on": ("clicked",)}, r"bought.on='clicked': must be a column known beforehand"),
        ({"on": ("user", "item")}, r"bought.on=.* must name a column for each of keys="),
        (
            {"on": ("price",)},
            r"bought.on='price': is of type double .* sales of type str",
        ),
        ({"value": "clicked"}, r"bought='clicked': .*clicked"),
        ({"known": "click"}, r"bought.known='click': must be one of \['told'\]"),
        ({"where": "amount"}, r"bought.where='amount': is of type double, and must be boolean"),
        ({"where": "clicked"}, r"bought.where='clicked': clicked: is not a declared column"),
        ({"where": "1 = 1"}, r"bought.where='1 = 1': must take a column"),
        ({"aggregates": ("median",)}, r"bought.aggregates\[0\]='median': must be one of 'mean'"),
        ({"value": "buyer", "aggregates": ("max",)}, r"bought='buyer': is of type string"),
        ({"value": "buyer", "aggregates": ("distinct", "count")}, r"bought='buyer': is of type"),
        ({"windows": (0,)}, r"bought.windows=\(0,\): must be days in"),
    ],
)
def test_a_history_that_cannot_be_found_or_made_is_refused(
    history: dict[str, Any], text: str
) -> None:
    with pytest.raises(DefinitionError, match=f"^definition shop: histories.{text}"):
        with_histories(replace(BOUGHT, **history))


def with_histories(*histories: History) -> Definition:
    return replace(SHOP, histories=histories)


def test_aggregates_share_the_tiles_that_keep_what_they_need() -> None:
    every = replace(BOUGHT, aggregates=get_args(Aggregate))
    kinds = [tiling.kind for tiling in with_histories(every).tilings(SALES)]
    assert kinds == ["sums", "squares", "extremes", "moments", "items"]
    sums = replace(BOUGHT, aggregates=("mean", "count", "days_since_last"))
    alone = with_histories(sums).tilings(SALES)
    assert alone == with_histories(every).tilings(SALES)[:1]
    largest = replace(BOUGHT, name="largest", aggregates=("max", "min"), windows=(3,))
    assert len(with_histories(every, largest).tilings(SALES)) == len(kinds)
    of_text = replace(BOUGHT, value="buyer", aggregates=("distinct",))
    (items,) = with_histories(of_text).tilings(SALES)
    assert (items.kind, items.columns) == ("items", {"buyer"})
    (moments,) = with_histories(replace(BOUGHT, aggregates=("last",))).tilings(SALES)
    assert "sold_at" in moments.columns, "it reads when a row happened"


def test_whole_numbers_of_both_sizes_are_one_key() -> None:
    wide = tuple(
        replace(c, dtype="bigint") if c.name == "number" else c for c in SALES.columns
    )  # fmt: skip
    stream = replace(SALES, columns=wide)
    of_number = replace(BOUGHT, stream=stream, keys=("number",), on=("place",))
    place = Column(name="place", dtype="int", known="plan")
    placed = changed(SHOP, columns=(*SHOP.stream.columns, place), histories=(of_number,))
    assert placed.histories[0].asked_by == ("place",)


def test_two_streams_of_one_name_are_refused() -> None:
    other = replace(BOUGHT, name="more", stream=replace(SALES, max_bad_share=0.5))
    with pytest.raises(DefinitionError, match=r"more.stream='sales': is the name of two streams"):
        with_histories(BOUGHT, other)
    named = replace(SALES, name="toy")
    with pytest.raises(DefinitionError, match=r"bought.stream='toy': is the name of two streams"):
        with_histories(replace(BOUGHT, stream=named))


def test_a_pipeline_is_not_called_as_the_folder_of_streams_is() -> None:
    with pytest.raises(DefinitionError, match=r"name='streams': is the folder of the streams"):
        replace(SHOP, name="streams")


def test_windows_are_of_each_stream_by_itself_and_end_where_it_begins() -> None:
    later = replace(SALES, first_day=DAYS[2], last_day=DAYS[3])
    definition = shop((), later)
    assert [s.name for s in definition.streams] == ["toy", "sales"]
    assert definition.window_days(DAYS[5], definition.stream) == DAYS[1:5]
    assert definition.window_days(DAYS[5], later) == DAYS[2:4]
    assert definition.window_days(date(2026, 3, 1), later) == []


def test_what_is_made_alike_has_one_digest_whoever_declares_it() -> None:
    other = replace(BOUGHT, name="spent", windows=(7,), aggregates=("mean",))
    second = replace(with_histories(other), name="second")
    assert SHOP.tilings(SALES) == second.tilings(SALES)
    assert len(with_histories(BOUGHT, other).tilings(SALES)) == 1
    more = replace(BOUGHT, value="amount + 1")
    assert with_histories(more).tilings(SALES) != SHOP.tilings(SALES)
    assert replace(SHOP, cutoff_hours=6).tilings(SALES) != SHOP.tilings(SALES)


def test_a_rule_of_a_column_changes_no_feature_and_a_type_does() -> None:
    def digest(**change: Any) -> str:
        columns = tuple(replace(c, **change) if c.name == "amount" else c for c in SALES.columns)
        return shop(impressions(), replace(SALES, columns=columns)).digest("features")

    assert digest(minimum=0.0) == digest()
    assert digest(dtype="int") != digest()
