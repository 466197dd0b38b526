"""What is refused of several labels, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feature_store.definition import Check, Definition, Gate, Label, Outcome, label_words, plain
from feature_store.errors import DefinitionError
from tests.toy import FIRST_DAY, toy_days, toy_definition
from tests.unit.test_outcomes import BUYS, SALES

CLICKED = Label(name="clicked", expression="clicked", known="click")
BUYS_GIVEN = replace(BUYS, given="clicked")


def toy(*labels: Label | Outcome, **changes: Any) -> Definition:
    return toy_definition((), labels=labels, **{"checks": (), **changes})


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ((), r"labels=\(\): must hold at least one"),
        ((CLICKED, replace(CLICKED, expression="NOT clicked")), r"labels=.* must be unique"),
        ((CLICKED, replace(BUYS, given="clcked")), r"labels.buys.given='clcked': is no other .*"
         r"did you mean 'clicked'"),
        ((replace(CLICKED, given="clicked"),), r"labels.clicked.given='clicked': is the label it"),
        ((replace(CLICKED, given="buys"), BUYS_GIVEN), r"labels.clicked.given='buys': goes round in"
         r" a circle \('clicked' given 'buys' given 'clicked'\)"),
        ((CLICKED, replace(BUYS, given=7)), r"labels.buys.given=7: must be text or None"),
        ((replace(CLICKED, name="a"), replace(CLICKED, name="b"), replace(BUYS, within_days=0)),
         r"labels.buys.within_days=0: must be in 1"),
    ],
)  # fmt: skip
def test_labels_that_no_row_could_have_are_refused(
    labels: tuple[Label | Outcome, ...], text: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"^definition toy: {text}"):
        toy(*labels)


def test_a_label_that_leads_into_a_circle_of_others_is_refused_as_well() -> None:
    a, b, c = (replace(CLICKED, name=name) for name in "abc")
    circle = (a, replace(b, given="c"), replace(c, given="b"))
    with pytest.raises(DefinitionError, match=r"labels.b.given='c': goes round"):
        toy(*circle)
    with pytest.raises(DefinitionError, match=r"\('b' given 'c' given 'b'\)"):
        toy(replace(a, given="b"), *circle[1:])


@pytest.mark.parametrize("hours", [0, -6, 30])
def test_each_label_is_settled_when_it_and_what_it_is_given_are(hours: int) -> None:
    soon = replace(BUYS, name="soon", within_days=1, settle_days=2)
    late = replace(BUYS, name="late", within_days=7, settle_days=3)
    given_late = replace(soon, name="given_late", given="late")
    definition = toy(CLICKED, soon, late, given_late, cutoff_hours=hours)
    whole = 2 if hours == 30 else 0
    settled = [definition.label_days_of(label) for label in definition.labels]
    assert settled == [0, whole + 3, whole + 10, whole + 10]
    assert definition.label_days == whole + 10
    assert definition.settled_days(given_late) == whole + 3
    first = toy_days(40)[whole]
    assert definition.outcome_days(soon, FIRST_DAY) == [first]
    assert len(definition.outcome_days(late, FIRST_DAY)) == 7
    assert [label.name for label in definition.with_given(given_late)] == ["late", "given_late"]


def test_one_label_has_the_column_score_and_each_of_several_its_own() -> None:
    assert toy(CLICKED).score_columns == ("score",)
    both = toy(BUYS_GIVEN, CLICKED)
    assert both.score_columns == ("score_buys", "score_clicked")
    assert both.label_names == ("buys", "clicked")
    check = Check(stage="scores", kind="not_null", columns=("score",))
    toy(CLICKED, checks=(check,))
    with pytest.raises(DefinitionError, match=r"checks.*'score': is not a column of scores"):
        toy(CLICKED, BUYS, checks=(check,))
    toy(CLICKED, BUYS, checks=(replace(check, columns=("score_buys",)),))


def test_outcomes_that_are_counted_alike_share_their_tiles_and_streams() -> None:
    late = replace(BUYS_GIVEN, name="late", within_days=30)
    one, two = toy(CLICKED, BUYS), toy(CLICKED, BUYS, late)
    assert two.tilings(SALES) == one.tilings(SALES)
    assert two.all_streams == one.all_streams
    other = toy(CLICKED, BUYS, replace(late, value="amount > 100"))
    assert len(other.tilings(SALES)) == 2


def test_a_feature_may_be_made_of_what_tells_no_label_only() -> None:
    expensive = Label(name="expensive", expression="price > 10", known="plan")
    with pytest.raises(DefinitionError, match=r"price='price': is what a label is made of"):
        toy(CLICKED, expensive)


def test_labels_change_no_feature_and_no_encoding() -> None:
    one, two = toy(CLICKED), toy(CLICKED, BUYS_GIVEN)
    for part in ("features", "encoding", "scores"):
        assert one.digest(part) == two.digest(part)  # type: ignore[arg-type]


def test_a_label_that_is_given_nothing_is_told_as_before_there_was_given() -> None:
    assert "given" not in plain(BUYS)
    assert plain(BUYS_GIVEN) == {**plain(BUYS), "given": "clicked"}
    assert "within 7 days, given 'clicked' (known by 'told')" in label_words(plain(BUYS_GIVEN))


def test_a_gate_judges_one_of_the_labels_or_all() -> None:
    toy(CLICKED, BUYS, gate=Gate(label="buys"))
    with pytest.raises(DefinitionError, match=r"gate.label='bys': .* did you mean 'buys'"):
        toy(CLICKED, BUYS, gate=Gate(label="bys"))


def test_a_key_may_not_be_called_as_a_label_or_its_scores_are() -> None:
    click = replace(CLICKED, name="item")
    columns = {"keys": ("user", "score_item")}
    stream = toy(CLICKED).stream
    assert stream is not None
    renamed = tuple(
        replace(column, name="score_item") if column.name == "item" else column
        for column in stream.columns
    )
    changes = {**columns, "columns": renamed, "features": toy(CLICKED).features[:1],
               "histories": ()}  # fmt: skip
    toy(click, **changes)
    with pytest.raises(DefinitionError, match=r"keys='score_item': is a column that tables need"):
        toy(click, BUYS, **changes)
