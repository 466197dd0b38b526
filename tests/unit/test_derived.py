"""What may be computed of a row, what is refused, and what follows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feature_store.definition import Categorical, Cross, Definition, Derived, Numeric
from feature_store.errors import DefinitionError
from tests.toy import Prices, toy_definition

TOY = toy_definition(())
HOUR = Derived(name="hour", expression="hour(planned_at)", dtype="int")
SHARE = Derived(name="share", expression="item_ctr_count_2d / (1 + item_ctr_count_2d)")


def with_derived(*derived: Derived, **changes: Any) -> Definition:
    return replace(TOY, derived=derived, **changes)


def test_a_feature_takes_what_is_computed_of_columns_lookups_histories_and_each_other() -> None:
    assert "item_ctr_count_2d" in TOY.numeric_names()
    twice = Derived(name="twice", expression="share + share + hour + month(ds)")
    definition = with_derived(
        HOUR, SHARE, twice,
        features=(
            *TOY.features,
            Categorical(name="part_of_day", column="hour", bounds=(6, 12)),
            Cross(name="item_hour", of=("item", "hour")),
            Numeric(name="twice", column="twice"),
        ),
    )  # fmt: skip
    assert definition.feature_dtypes["hour"] == "int"
    assert definition.feature_dtypes["twice"] == "double"
    assert [column.name for column in definition.seen_by(SHARE).columns].count("hour") == 1
    assert "share" not in {column.name for column in definition.seen_by(HOUR).columns}


def test_a_definition_without_any_is_the_one_it_was_and_another_expression_another_one() -> None:
    assert replace(TOY, derived=()).digest("features") == TOY.digest("features")
    digests = {
        with_derived(*derived).digest("features")
        for derived in ((), (HOUR,), (replace(HOUR, expression="minute(planned_at)"),), (SHARE,))
    }
    assert len(digests) == 4
    bounded = [
        replace(TOY, features=(*TOY.features, Categorical(name="dear", column="price", bounds=b)))
        for b in ((), (1.0,), (2.0,))
    ]
    assert len({definition.digest("encoding") for definition in bounded}) == 3


@pytest.mark.parametrize(
    ("derived", "text"),
    [
        (replace(HOUR, expression="clicked"), "derived.hour='clicked': is what a label is made"),
        (
            replace(HOUR, expression="hour(click_known_at)"),
            "derived.hour='click_known_at': is known only after the event",
        ),
        (replace(HOUR, expression="hour"), "derived.hour='hour': hour: is not a declared column"),
        (replace(HOUR, expression="nobody + 1"), "nobody: is not a declared column"),
        (replace(HOUR, expression="1 + 1"), "derived.hour='1 + 1': must take a column"),
        (replace(HOUR, expression="sum(price)"), "takes many rows"),
        (replace(HOUR, expression="rand()"), "differs from run to run"),
        (replace(HOUR, expression="user.city"), "a field of a struct or lookup is not one"),
        (replace(HOUR, name="price"), "derived='price': is a column, a lookup, a history's"),
        (replace(HOUR, name="item_ctr_count_2d"), "is a column, a lookup, a history's feature"),
        (replace(HOUR, name="_hour"), "derived='_hour': must be"),
        (replace(HOUR, name="ds"), "derived='ds': must be"),
        (replace(HOUR, dtype="integer"), "derived.hour.dtype='integer': must be one of 'string'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_computed_or_is_not_known_yet_is_refused(
    derived: Derived, text: str
) -> None:
    with pytest.raises(DefinitionError) as error:
        with_derived(derived)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("name", "column", "bounds", "text"),
    [
        ("dear", "price", (2.0, 1.0), "dear.bounds=(2.0, 1.0): must rise"),
        ("dear", "price", (1.0, 1.0), "must rise"),
        ("who", "user", (1.0,), "who='user': is of type string"),
    ],
)
def test_ranges_that_are_none_are_refused(
    name: str, column: str, bounds: tuple[float, ...], text: str
) -> None:
    feature = Categorical(name=name, column=column, bounds=bounds)
    with pytest.raises(DefinitionError) as error:
        replace(TOY, features=(*TOY.features, feature))
    assert text in str(error.value)


def test_two_of_one_name_and_one_that_takes_a_later_one_are_refused() -> None:
    with pytest.raises(DefinitionError, match="derived='hour': is a column, a lookup"):
        with_derived(HOUR, HOUR)
    first = Derived(name="first", expression="hour + 1")
    with pytest.raises(
        DefinitionError, match=r"derived.first='hour \+ 1': hour: is not a declared"
    ):
        with_derived(first, HOUR)


def test_columns_of_lookups_are_taken_by_their_whole_name() -> None:
    priced = toy_definition((), Prices(()))
    gap = Derived(name="gap", expression="price - `prices.list_price`")
    definition = replace(priced, derived=(gap,))
    assert definition.seen_by(gap).taken_by(gap.expression) == {"price", "prices.list_price"}
    with pytest.raises(DefinitionError, match=r"prices.nothing: is not a declared column"):
        replace(priced, derived=(replace(gap, expression="price - `prices.nothing`"),))
