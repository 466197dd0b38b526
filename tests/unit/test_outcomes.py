"""What is refused of a label that a stream tells, and what follows from one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feature_store.definition import (
    Definition,
    Label,
    Outcome,
    label_record,
    label_words,
    labels_agree,
    plain,
)
from feature_store.errors import DefinitionError
from tests.sales import sales_stream
from tests.toy import FIRST_DAY, toy_days, toy_definition

SALES = sales_stream(())
BUYS = Outcome(
    name="buys", stream=SALES, keys=("buyer",), on=("user",), value="amount > 0", known="told",
    within_days=7,
)  # fmt: skip


def toy(**changes: Any) -> Definition:
    return toy_definition((), **{"labels": (BUYS,), **changes})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"within_days": 0}, r"buys.within_days=0: must be in 1\.\.3660"),
        ({"within_days": None}, r"buys.within_days=None: must be a whole number"),
        ({"settle_days": -1}, r"buys.settle_days=-1: must be in 0\.\."),
        ({"keys": ()}, r"buys.keys=\(\): must name at least one column"),
        ({"keys": ("bayer",)}, r"buys.keys='bayer': is not a column .* did you mean 'buyer'"),
        ({"on": ()}, r"buys.keys='buyer': must be a column known beforehand"),
        ({"on": ("clicked",)}, r"buys.on='clicked': must be a column known beforehand"),
        ({"on": ("price",)}, r"buys.on='price': is of type double .* sales of type string"),
        ({"on": ("user", "item")}, r"buys.on=.* must name a column for each of keys="),
        ({"value": "amount"}, r"buys='amount': is of type double, and must be boolean"),
        ({"value": "buyer", "at_least": 2}, r"buys='buyer': is of type string, and must be bool"),
        ({"at_least": 0}, r"buys.at_least=0: must be in"),
        ({"at_least": "2"}, r"buys.at_least=.2.: must be a number or None"),
        ({"value": "clicked"}, r"buys='clicked': clicked: is not a declared column"),
        ({"known": "click"}, r"buys.known='click': must be one of \['told'\]"),
        ({"name": "no name"}, r"'no name': must be lower case"),
        ({"stream": None}, r"buys.stream=None: must be a Stream"),
    ],
)
def test_an_outcome_that_cannot_be_found_or_known_is_refused(
    change: dict[str, Any], text: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"^definition toy: labels.{text}"):
        toy(labels=(replace(BUYS, **change),))


def test_an_outcome_of_another_stream_of_the_same_name_is_refused() -> None:
    named = replace(BUYS, stream=replace(SALES, name="toy"))
    with pytest.raises(DefinitionError, match=r"buys.stream='toy': is the name of two streams"):
        toy(labels=(named,))


@pytest.mark.parametrize(
    ("hours", "first", "known"), [(0, 0, 9), (-30, 0, 9), (1, 1, 10), (24, 1, 10), (25, 2, 11)]
)
def test_it_is_looked_for_on_the_whole_days_after_the_cutoff(
    hours: int, first: int, known: int
) -> None:
    definition = toy(labels=(replace(BUYS, settle_days=2),), cutoff_hours=hours)
    days = toy_days(20)
    assert definition.outcome_days(definition.outcomes[0], FIRST_DAY) == days[first : first + 7]
    assert definition.label_days == known
    assert toy(labels=(Label(name="l", expression="clicked", known="click"),)).label_days == 0


def test_the_stream_of_an_outcome_makes_no_features() -> None:
    definition = toy()
    assert [s.name for s in definition.streams] == ["toy"]
    assert [s.name for s in definition.all_streams] == ["toy", "sales"]
    assert definition.feature_tilings(SALES) == ()
    assert len(definition.tilings(SALES)) == 1
    plain_toy = toy_definition(())
    assert definition.digest("features") == plain_toy.digest("features")
    assert definition.digest("encoding") == plain_toy.digest("encoding")


def test_a_label_is_told_in_words_from_its_record() -> None:
    assert label_words(plain(BUYS)) == (
        "'amount > 0' in the stream sales by buyer within 7 days (known by 'told')"
    )
    settled = label_words(plain(replace(BUYS, settle_days=3)))
    assert "within 7 days, settled 3 days later" in settled
    assert label_words(plain(toy_definition(()).labels[0])) == "'clicked' (known by 'click')"
    assert labels_agree([BUYS], label_record([BUYS]))
    assert not labels_agree([BUYS], label_record([replace(BUYS, within_days=8)]))


def test_horizons_of_one_outcome_are_counted_once_and_known_each_at_its_own_time() -> None:
    week = replace(BUYS, settle_days=1)
    soon = replace(BUYS, name="buys_soon", within_days=1)
    often = replace(BUYS, name="buys_often", at_least=3)
    definition = toy(labels=(week, soon, often), checks=())
    assert len(definition.tilings(SALES)) == 1
    assert [definition.label_days_of(label) for label in definition.labels] == [8, 1, 7]
    assert definition.label_days == 8
    told = label_words(plain(often))
    assert told.startswith("at least 3 of 'amount > 0' in the stream sales by buyer within 7 days")
