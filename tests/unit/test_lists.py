"""Sequences and multi-valued features: what is refused, and what follows of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feature_store.definition import Categorical, Definition, MultiValued, Numeric
from feature_store.definition import Sequence as SequenceOf
from feature_store.errors import DefinitionError
from jobs.training.recipe import signature_of
from models.signature import Signature
from tests.sales import sales_stream
from tests.toy import toy_definition

TOY = toy_definition(())
SALES = sales_stream(())
BOUGHT = SequenceOf(
    name="bought", stream=SALES, keys=("buyer",), on=("user",), value="number", known="told",
    length=3, days=28,
)  # fmt: skip
TAGS = MultiValued(name="tags", column="item", length=2)


def with_lists(*lists: SequenceOf | MultiValued, **changes: Any) -> Definition:
    tags = [one for one in lists if isinstance(one, MultiValued)]
    sequences = tuple(one for one in lists if isinstance(one, SequenceOf))
    return replace(TOY, features=(*TOY.features, *tags), sequences=sequences, **changes)


def test_a_model_takes_columns_for_each_place_of_a_list() -> None:
    definition = with_lists(BOUGHT, replace(TAGS, like="item"))
    signature = signature_of(definition)
    assert signature.key_columns == (
        "user", "item", "user_item", "tags_0", "tags_1", "bought_0", "bought_1", "bought_2",
    )  # fmt: skip
    assert signature.value_columns[-3:] == ("bought_0", "bought_1", "bought_2")
    assert signature.vocabulary_fields == ("user", "item", "user_item", "bought")
    assert signature.column_fields == (0, 1, 2, 1, 1, 3, 3, 3)
    assert signature.fields[3:5] == ("tags", "bought")
    assert Signature.from_json(signature.to_json()) == signature


def test_the_stream_of_a_sequence_is_read_over_its_days() -> None:
    definition = with_lists(BOUGHT)
    assert [stream.name for stream in definition.streams] == ["toy", "sales"]
    assert definition.max_window(SALES) == 28
    (tiling,) = definition.feature_tilings(SALES)
    assert (tiling.kind, tiling.columns) == ("texts", {"buyer", "number", "sold_at"})


def test_a_definition_without_lists_is_the_one_it_was_and_each_list_makes_another() -> None:
    assert with_lists().digest("features") == TOY.digest("features")
    assert with_lists().digest("encoding") == TOY.digest("encoding")
    assert "lists" not in signature_of(TOY).record()
    made = [
        with_lists(*lists)
        for lists in ((), (BOUGHT,), (replace(BOUGHT, length=4),), (replace(BOUGHT, days=7),),
                      (TAGS,), (replace(TAGS, separator=";"),))
    ]  # fmt: skip
    for part in ("features", "encoding"):
        assert len({definition.digest(part) for definition in made}) == len(made)
    # How many are looked at, and for how long, is no part of what tiles hold.
    digests = {with_lists(one).tiling(one, "texts").digest
               for one in (BOUGHT, replace(BOUGHT, length=9, days=3))}  # fmt: skip
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("lists", "text"),
    [
        ([replace(BOUGHT, length=0)], r"sequences\.bought\.length=0: must be in 1\.\.200"),
        ([replace(BOUGHT, length=201)], r"sequences\.bought\.length=201: must be in 1\.\.200"),
        ([replace(BOUGHT, days=0)], r"sequences\.bought\.days=0: must be in 1\.\.3660"),
        ([replace(BOUGHT, keys=("nobody",))], "is not a column of the stream sales"),
        ([replace(BOUGHT, on=("user", "item"))], "must name a column for each of keys"),
        ([replace(BOUGHT, on=("price",))], "is of type double where rows are scored"),
        ([replace(BOUGHT, on=("clicked",))], "must be a column known beforehand"),
        ([replace(BOUGHT, known="tol")], "must be one of"),
        ([replace(BOUGHT, value="1")], "must take a column"),
        ([replace(BOUGHT, where="number")], "is of type int, and must be boolean"),
        ([replace(BOUGHT, like="iten")], r"sequences\.bought\.like='iten'.*did you mean"),
        ([replace(BOUGHT, like="item")], "is of type string, and number of type int"),
        ([replace(BOUGHT, name="price")], "is defined twice"),
        ([BOUGHT, BOUGHT], "is defined twice"),
        ([replace(BOUGHT, name="k_x")], "begins as columns of training sets do"),
        ([replace(TAGS, length=0)], r"features\.tags\.length=0: must be in 1\.\.200"),
        ([replace(TAGS, separator="")], "must be the text that stands between two values"),
        ([replace(TAGS, column="price")], "is of type double, and only a text holds several"),
        ([replace(TAGS, column="clicked")], "is what a label is made of"),
        ([replace(TAGS, column="itme")], "is not a column"),
        ([replace(TAGS, like="user_item")], "must be a Categorical without bounds"),
        ([replace(TAGS, name="item", column="item")], "is defined twice"),
    ],
)
def test_a_list_that_cannot_be_is_refused_with_its_field_and_the_rule(
    lists: list[SequenceOf | MultiValued], text: str
) -> None:
    with pytest.raises(DefinitionError, match=text):
        with_lists(*lists)


@pytest.mark.parametrize("feature", [Categorical(name="bought_2", column="item"),
                                     Numeric(name="bought_0", column="price")])  # fmt: skip
def test_a_feature_of_the_name_of_a_place_of_a_list_is_refused(
    feature: Categorical | Numeric,
) -> None:
    with pytest.raises(DefinitionError, match="is encoded as bought_0, bought_1"):
        replace(with_lists(BOUGHT), features=(*TOY.features, feature))
    # Beyond the last place there is none.
    replace(with_lists(BOUGHT), features=(*TOY.features, replace(feature, name="bought_3")))


def test_a_sequence_of_nothing_that_is_delivered_names_its_stream() -> None:
    from feature_store.definitions.shop_reorder import DEFINITION

    seen = replace(BOUGHT, stream=None, keys=("user_id",), on=(), value="item_id", known="order")
    with pytest.raises(DefinitionError, match=r"sequences\.bought\.stream=None: is needed"):
        replace(DEFINITION, sequences=(seen,))
