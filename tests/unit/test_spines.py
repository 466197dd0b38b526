"""What is refused of a spine that the days before tell, and what follows from one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from feature_store.definition import (
    Active,
    Categorical,
    Definition,
    History,
    Lookup,
    Outcome,
    Product,
    Spine,
    Top,
)
from feature_store.errors import DefinitionError
from tests.sales import sales_stream
from tests.toy import FIRST_DAY, Prices, price_stream, toy_days, toy_definition

SALES = sales_stream(())
STREAM = toy_definition(()).stream
assert STREAM is not None
BUYERS = Active(stream=SALES, keys=("buyer",), known="told", days=5, where="amount > 0")
ITEMS = Top(stream=STREAM, keys=("item",), known="click", days=9, n=3, by="clicked")
PAIRS = Product(left=BUYERS, right=ITEMS)
BUYS = Outcome(
    name="buys", stream=SALES, keys=("buyer",), value="amount > 0", known="told", within_days=2
)
BOUGHT = History(
    name="bought", stream=SALES, keys=("buyer",), value="amount", known="told", windows=(3,)
)


def reorder(spine: Spine = PAIRS, **changes: Any) -> Definition:
    """Return a pipeline over pairs of buyers and items."""
    parts = [Categorical(name=key, column=key) for key in spine.keys]
    told = {"labels": (BUYS,), "features": tuple(parts), "histories": (BOUGHT,), "checks": ()}
    return replace(toy_definition(()), **{"name": "reorder", "spine": spine, **told, **changes})


@pytest.mark.parametrize(
    ("spine", "text"),
    [
        (replace(BUYERS, keys=()), r"spine.keys=\(\): must name at least one column"),
        (replace(BUYERS, keys=("bayer",)), r"spine.keys='bayer': is not .* did you mean 'buyer'"),
        (replace(BUYERS, keys=("buyer", "buyer")), r"spine.keys=.*must name each column once"),
        (replace(BUYERS, days=0), r"spine.days=0: must be in 1\.\."),
        (replace(BUYERS, at_least=0), r"spine.at_least=0: must be in 1\.\."),
        (replace(BUYERS, where="amount"), r"spine='amount': is of type double, and must be bool"),
        (replace(BUYERS, where="clicked"), r"spine='clicked': clicked: is not a declared column"),
        (replace(BUYERS, known="click"), r"spine.known='click': must be one of \['told'\]"),
        (replace(PAIRS, max_rows=0), r"spine.max_rows=0: must be in 1\.\."),
        (replace(PAIRS, right=replace(ITEMS, n=0)), r"spine.right.n=0: must be in 1\.\."),
        (replace(PAIRS, right=BUYERS), r"spine=.*names a key of both sides"),
        (replace(PAIRS, where="buyer <> price"), r"spine.where=.*price: is not a declared column"),
        (replace(PAIRS, where="true"), r"spine.where='true': must take a column"),
        (
            replace(PAIRS, right=replace(ITEMS, by="item")),
            r"spine.right='item': is of type string",
        ),
        (
            replace(PAIRS, right=replace(ITEMS, known="plan")),
            r"spine.right='clicked': is known by 'click', later than the stated 'plan'",
        ),
        (
            replace(PAIRS, left=replace(BUYERS, stream=replace(SALES, max_bad_share=0.5))),
            r"\.stream='sales': is the name of two streams",
        ),
    ],
)
def test_a_spine_that_cannot_be_told_is_refused(spine: Spine, text: str) -> None:
    with pytest.raises(DefinitionError, match=f"^definition reorder: .*{text}"):
        reorder(spine, features=(Categorical(name="buyer", column="buyer"),))


def test_what_only_a_delivered_row_tells_is_refused() -> None:
    toy = toy_definition(())
    with pytest.raises(DefinitionError, match=r"labels.clicked='clicked': is told by no row"):
        reorder(labels=toy.labels)
    with pytest.raises(DefinitionError, match=r"histories.item_ctr.stream=None: is needed"):
        reorder(histories=toy.histories)
    timed = Lookup(
        name="prices", stream=price_stream(Prices(())), keys=("item",), at="happened_at",
        max_age_hours=9, columns=("list_price",),
    )  # fmt: skip
    with pytest.raises(DefinitionError, match=r"prices.at='happened_at': must be a declared time"):
        reorder(lookups=(timed,))
    reorder(lookups=(replace(timed, at=None),))
    with pytest.raises(DefinitionError, match=r"prices.max_age_hours=None: is needed"):
        reorder(lookups=(replace(timed, at=None, max_age_hours=None),))
    with pytest.raises(DefinitionError, match=r"features.price='price': is not a column"):
        reorder(features=(Categorical(name="price", column="price"),))
    with pytest.raises(DefinitionError, match=r"bought.on='user': must be a column known befo"):
        reorder(histories=(replace(BOUGHT, on=("user",)),))


def test_its_windows_and_tiles_are_read_beside_those_of_histories() -> None:
    definition = reorder()
    assert definition.stream is None
    assert definition.keys == ("buyer", "item")
    assert [s.name for s in definition.streams] == ["sales", "toy"]
    assert definition.window_days(toy_days(20)[19], SALES) == toy_days(20)[14:19]
    assert definition.window_days(toy_days(20)[19], STREAM) == toy_days(20)[10:19]
    assert len(definition.feature_tilings(SALES)) == 2, "the outcome counts what the spine does"
    assert definition.tilings(SALES) == definition.feature_tilings(SALES)
    assert definition.window_days(FIRST_DAY, SALES) == []


def test_what_is_scored_is_part_of_what_features_are_made_of() -> None:
    digests = {
        reorder(spine).digest("features")
        for spine in (
            PAIRS,
            replace(PAIRS, where="buyer <> item"),
            replace(PAIRS, left=replace(BUYERS, at_least=2)),
            replace(PAIRS, right=replace(ITEMS, n=4)),
        )
    }
    assert len(digests) == 4
    # Rows that are delivered say by themselves what they are.
    toy = toy_definition(())
    assert toy.reads == [[STREAM.types, STREAM.knowledge, str(STREAM.first_day)]]
