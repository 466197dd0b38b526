"""What may be looked up, by what, and as of when: refused where it is written, with what to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from feature_store.definition import Categorical, Column, Definition, Lookup, Numeric, Rows
from feature_store.errors import DefinitionError
from tests.toy import FIRST_DAY, Prices, changed, price_stream, toy_definition

TOY = toy_definition((), Prices(()))
(PRICES,) = TOY.lookups
STORES = replace(
    price_stream(Prices(())),
    name="stores",
    columns=(
        *price_stream(Prices(())).columns,
        Column(name="region", dtype="string", known="told"),
        Column(name="size", dtype="int", known="told"),
    ),
)
STORE = Lookup(
    name="store", stream=STORES, keys=("item",), columns=("region", "size"), at="happened_at",
    max_age_hours=24,
)  # fmt: skip
REGION = replace(
    STORE, name="region", keys=("region",), on=("store.region",), columns=("size",)
)  # fmt: skip


def looked_up(*lookups: Lookup, **changes: Any) -> Definition:
    return changed(TOY, lookups=(PRICES, *lookups), **changes)


def test_a_lookup_is_asked_by_what_one_before_it_tells() -> None:
    size = Numeric(name="region_size", column="region.size")
    definition = looked_up(STORE, REGION, features=(*TOY.features, size))
    assert definition.looked_up["region.size"].dtype == "int"
    assert definition.looked_up_by(STORE) == {"item", "happened_at"}
    assert definition.looked_up_by(REGION) == {"item", "happened_at"}
    assert [stream.name for stream in definition.streams] == ["toy", "prices", "stores"]
    assert definition.lookups_in(STORES) == [STORE, REGION]


@pytest.mark.parametrize(
    ("lookups", "text"),
    [
        ((REGION, STORE), r"region.on='store.region': is of the lookup store, which does not come"),
        (
            (replace(STORE, on=("region.region",)), replace(REGION, columns=("region",))),
            r"store.on='region.region': is of the lookup region, .* never in a circle",
        ),
        ((replace(STORE, on=("store.region",)),), r"store.on='store.region': is of the lookup st"),
        ((STORE, replace(REGION, on=("store.regions",))), r"'store.regions': is of no lookup; did"),
        ((replace(STORE, on=("clicked",)),), r"on='clicked': must be a column known beforehand"),
        ((replace(STORE, on=("item", "user")),), r"on=\('item', 'user'\): must name a column for"),
        ((replace(STORE, keys=("itm",), on=("item",)),), r"keys='itm': is not a column of the str"),
        ((STORE, replace(REGION, on=("store.size",))), r"'store.size': is of type int where rows "),
        ((replace(STORE, columns=("colour",)),), r"columns='colour': is not a column of the strea"),
        ((replace(STORE, at=None),), r"store.at=None: is needed: a column of the row that says"),
        ((replace(STORE, max_age_hours=None),), r"max_age_hours=None: is needed: how old"),
        ((replace(STORE, valid_until="size"),), r"valid_until='size': must be a timestamp or dat"),
        ((replace(STORE, valid_until="ends"),), r"valid_until='ends': must be a timestamp or dat"),
        ((replace(STORE, due_hours=10_000),), r"lookups.store.due_hours=10000: must be in"),
        (
            (replace(STORE, stream=replace(STORES, kind="snapshots")),),
            r"store.at='happened_at': is for no snapshots: of stores the latest is taken",
        ),
        (
            (replace(STORE, stream=replace(STORES, name="prices")),),
            r"lookups.store.stream='prices': is the name of two streams that differ",
        ),
        ((replace(STORE, stream=TOY.stream),), r"store.stream=.toy.: is the stream whose rows a"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_up_is_refused(lookups: tuple[Lookup, ...], text: str) -> None:
    with pytest.raises(DefinitionError, match=f"^definition toy: .*{text}"):
        looked_up(*lookups)


def test_keys_of_another_form_are_refused() -> None:
    other = tuple(replace(c, normalize="none") if c.name == "item" else c for c in STORES.columns)
    with pytest.raises(DefinitionError, match=r"has normalize='NFC', and item of the stream sto"):
        looked_up(replace(STORE, stream=replace(STORES, columns=other)))


def test_snapshots_are_neither_scored_nor_counted() -> None:
    shots = replace(TOY.stream, kind="snapshots")
    with pytest.raises(DefinitionError, match=r"spine.stream='toy': is of kind='snapshots'"):
        replace(TOY, spine=Rows(shots))
    counted = replace(TOY.histories[0], stream=replace(STORES, kind="snapshots"), value="size",
                      known="told")  # fmt: skip
    with pytest.raises(DefinitionError, match=r"item_ctr.stream='stores': is of kind='snapshots'"):
        changed(TOY, histories=(counted,))


def test_what_is_read_of_a_stream_is_what_features_are_made_of() -> None:
    """Rules of its columns, its bad share and other columns of it make no feature stale."""
    before = looked_up(STORE).digest("features")
    other = replace(
        STORES, max_bad_share=0.3,
        columns=(*STORES.columns, Column(name="more", dtype="int", known="told")),
    )  # fmt: skip
    assert looked_up(replace(STORE, stream=other)).digest("features") == before
    for change in (
        {"stream": replace(STORES, first_day=FIRST_DAY + timedelta(days=1))},
        {"stream": replace(STORES, event_days=(-2, 0))},
        {"columns": ("region",)},
        {"due_hours": 3},
        {"valid_until": "known_at"},
    ):
        assert looked_up(replace(STORE, **change)).digest("features") != before
    texts = tuple(replace(c, dtype="string") if c.name == "size" else c for c in STORES.columns)
    retyped = replace(STORE, stream=replace(STORES, columns=texts))
    assert looked_up(retyped).digest("features") != before


def test_the_kind_of_a_stream_is_part_of_its_events_unless_it_is_a_log() -> None:
    logs = replace(STORES, kind="log")
    assert logs.digest != STORES.digest != replace(STORES, kind="snapshots").digest
    with pytest.raises(DefinitionError, match=r"kind='table': must be one of 'log', 'changes'"):
        replace(STORES, kind="table")  # type: ignore[arg-type]


def test_a_feature_of_a_lookup_is_of_the_streams_type() -> None:
    with pytest.raises(DefinitionError, match=r"features.r='store.region': is of type string"):
        looked_up(STORE, features=(*TOY.features, Numeric(name="r", column="store.region")))
    looked_up(STORE, features=(*TOY.features, Categorical(name="r", column="store.region")))
