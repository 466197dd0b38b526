"""Names that a definition may not give: those that differ in case only, and those tables need."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.definition import (
    Categorical,
    Check,
    Column,
    Cross,
    Definition,
    Gate,
    History,
    Known,
    Label,
    Lookup,
    Numeric,
    Stream,
)
from feature_store.errors import DefinitionError
from feature_store.schema import OF_EVENTS, OF_TRAINING, RESERVED
from tests.toy import COLUMNS, Prices, changed, price_stream, toy_definition

ROOT = Path(__file__).resolve().parents[2]
TOY = toy_definition((), Prices(()))
HISTORY, LOOKUP = TOY.histories[0], TOY.lookups[0]


def column(name: str, dtype: Any = "double") -> Column:
    return Column(name=name, dtype=dtype, known="plan")


BROKEN: list[tuple[dict[str, Any], str]] = [
    (
        {"features": (*TOY.features[1:], Categorical(name="user", column="item"))},
        "features.user='item': is the name of a key, whose column it would replace",
    ),
    (
        {"features": (*TOY.features[1:], Cross(name="user", of=("user",)))},
        "features.user='user': is the name of a key",
    ),
    ({"columns": (*COLUMNS, column("ds"))}, "columns='ds': is a column that tables need"),
    ({"columns": (*COLUMNS, column("source_file"))}, "columns='source_file': is a column that"),
    ({"columns": (*COLUMNS, column("Price"))}, "must be unique, whatever their case"),
    ({"columns": (*COLUMNS, column("_rank"))}, "columns='_rank': must be lower case letters"),
    ({"columns": (*COLUMNS, column("naïve"))}, "columns='naïve': must be lower case"),
    (
        {"columns": (*COLUMNS, column("item_ctr_mean_2d"))},
        "histories.item_ctr='item_ctr_mean_2d': makes a feature 'item_ctr_mean_2d', which is",
    ),
    (
        {"features": (*TOY.features, Numeric(name="item_ctr_mean_2d", column="price"))},
        "features='item_ctr_mean_2d': is defined twice",
    ),
    (
        {"histories": (HISTORY, replace(HISTORY, name="Item_ctr"))},
        "names must be unique, whatever their case",
    ),
    ({"histories": (replace(HISTORY, windows=(2, 2)),)}, "'item_ctr_mean_2d': is defined twice"),
    ({"histories": (replace(HISTORY, name="Ctr"),)}, "'Ctr_mean_2d': must be lower case"),
    ({"lookups": (LOOKUP, replace(LOOKUP, name="PRICES"))}, "must be unique, whatever their case"),
    ({"lookups": (replace(LOOKUP, name="user"),)}, "lookups.user='user': is a column or"),
    ({"lookups": (replace(LOOKUP, name="a b"),)}, "lookups='a b': must be lower case"),
    (
        {"lookups": (replace(LOOKUP, name="item_ctr_count_4d"),)},
        "is a column or a history's feature too",
    ),
    *(
        ({"lookups": (replace(LOOKUP, columns=(name,)),)}, f"{name!r}: {rule}")
        for name, rule in [
            ("ds", "is not a column of the stream prices"),
            ("item", "is a key of the lookup"),
            ("List_price", "is not a column of the stream prices; did you mean 'list_price'"),
        ]
    ),
    ({"lookups": (replace(LOOKUP, columns=()),)}, "lookups.prices.columns=(): must name at least"),
    (
        {"lookups": (replace(LOOKUP, columns=LOOKUP.columns * 2),)},
        "lookups.prices.columns='list_price': is named twice",
    ),
    ({"keys": ("user", "user")}, "must name each column once"),
    (
        {"knowns": (*TOY.stream.knowns, Known(name="Plan", at="planned_at"))},
        "must be unique, whatever their case",
    ),
    ({"labels": (Label(name="_l", expression="clicked", known="click"),)}, "labels='_l': must be"),
]


@pytest.mark.parametrize(("changes", "text"), BROKEN, ids=[text for _, text in BROKEN])
def test_a_name_that_clashes_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DefinitionError, match=f"^(definition|stream) toy: .*{re.escape(text)}"):
        changed(TOY, **changes)


def with_key(name: str) -> Definition:
    key = Column(name=name, dtype="string", known="plan", nullable=False)
    return changed(TOY, columns=(*COLUMNS, key), keys=("user", name))


@pytest.mark.parametrize("name", [*RESERVED, "y_clicked", "s_item"])
def test_a_key_that_a_table_needs_is_refused(name: str) -> None:
    gate = Gate(segments=("item",))
    assert changed(with_key("other"), gate=gate).keys == ("user", "other")
    with pytest.raises(DefinitionError, match=rf"'{name}': is a column that tables need"):
        changed(with_key(name), gate=gate)


@pytest.mark.parametrize("name", RESERVED)
def test_a_feature_history_or_lookup_that_a_table_needs_is_refused(name: str) -> None:
    for changes in (
        {"features": (*TOY.features, Numeric(name=name, column="price"))},
        {"histories": (replace(HISTORY, name=name),)},
        {"lookups": (replace(LOOKUP, name=name),)},
    ):
        with pytest.raises(DefinitionError, match=rf"'{name}'"):
            changed(TOY, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", OF_TRAINING)
def test_a_feature_named_like_a_column_of_a_training_set_is_refused(prefix: str) -> None:
    with pytest.raises(DefinitionError, match=f"begins as columns of training sets do .*{prefix}"):
        changed(TOY, features=(*TOY.features, Numeric(name=f"{prefix}clicked", column="price")))


@pytest.mark.parametrize("name", ["score", "run_id", "split", "reason", "row", "k_price", "n"])
def test_a_column_of_the_source_may_have_any_name_that_no_table_of_events_needs(name: str) -> None:
    """Nobody can rename what a source delivers: it is a feature that gets another name."""
    feature = Numeric(name="renamed", column=name)
    definition = changed(TOY, columns=(*COLUMNS, column(name)), features=(*TOY.features, feature))
    assert definition.stream.column(name).name == name


REFERENCES = [
    lambda name: {"keys": ("user", name)},
    lambda name: {"event_time": name},
    lambda name: {"knowns": (replace(TOY.stream.knowns[0], at=name), TOY.stream.knowns[1])},
    lambda name: {"features": (*TOY.features, Categorical(name="more", column=name))},
    lambda name: {"features": (*TOY.features, Cross(name="more", of=("user", name)))},
    lambda name: {"features": (*TOY.features, Numeric(name="more", column=f"prices.{name}"))},
    lambda name: {"histories": (replace(HISTORY, keys=(name,)),)},
    lambda name: {"lookups": (replace(LOOKUP, keys=(name,)),)},
    lambda name: {"lookups": (replace(LOOKUP, on=(name,)),)},
    lambda name: {"lookups": (replace(LOOKUP, columns=(name,)),)},
    lambda name: {"lookups": (replace(LOOKUP, at=name),)},
    lambda name: {"checks": (Check(stage="features", kind="not_null", columns=(name,)),)},
    lambda name: {"gate": Gate(segments=(name,))},
    lambda name: {"columns": (replace(COLUMNS[0], known=name), *COLUMNS[1:])},
]
OWN = ["item", "happened_at", "planned_at", "item", "item", "list_price", "item", "item", "item",
       "list_price", "happened_at", "item", "item", "plan"]  # fmt: skip


@settings(deadline=None)
@given(place=st.integers(0, len(OWN) - 1), data=st.data())
def test_a_name_is_found_by_its_own_spelling_alone(place: int, data: st.DataObject) -> None:
    name = OWN[place]
    changed(TOY, **REFERENCES[place](name))
    at = data.draw(st.integers(0, len(name) - 1).filter(lambda index: name[index].isalpha()))
    spelled = name[:at] + name[at].upper() + name[at + 1 :]
    with pytest.raises(DefinitionError, match=rf"{spelled}.*did you mean '(prices\.)?{name}'"):
        changed(TOY, **REFERENCES[place](spelled))


def side_of(name: str) -> Stream:
    told = price_stream(Prices(()), kind="snapshots")
    return replace(told, columns=(*told.columns, Column(name=name, dtype="double", known="told")))


SHAPES = st.from_regex(r"[a-z_][a-z0-9_]{0,6}", fullmatch=True)
NAMES = st.one_of(SHAPES, st.sampled_from([*RESERVED, *OF_EVENTS, "k_a", "s_item", "item"]))


@settings(deadline=None, max_examples=150)
@given(key=NAMES, feature=NAMES, history=NAMES, lookup=NAMES, other=NAMES)
def test_in_what_is_accepted_no_two_columns_of_a_frame_have_one_name(
    key: str, feature: str, history: str, lookup: str, other: str
) -> None:
    """Whatever five names a definition gives, it is refused or its frames are sound."""
    try:
        definition = changed(
            with_key(key),
            features=(*TOY.features[:2], Numeric(name=feature, column="price")),
            histories=(History(name=history, keys=(key,), value="clicked", known="click",
                               windows=(3,)),),
            lookups=(Lookup(name=lookup, stream=side_of(other), keys=("item",),
                            columns=(other,)),),
            gate=Gate(segments=("item",)),
        )  # fmt: skip
    except DefinitionError:
        return
    columns = [c.name for c in definition.stream.columns]
    made = [name for h in definition.histories for name, _, _ in h.columns()]
    features = [f.name for f in definition.features]
    side = ["ds", "source_file", *(c.name for c in definition.lookups[0].stream.columns)]
    wide = [*columns, "ds", lookup, *made]
    of_features = ["ds", *{*definition.keys, *features}, *made]
    of_scores = ["ds", *definition.keys, "run_id", "score", "model_name", "model_version",
                 "published_at"]  # fmt: skip
    of_training = [*of_features, "split", "y_clicked", "s_item"]
    for frame in ([*columns, "ds", "source_file"], side, wide, of_scores, of_training):
        assert len({name.lower() for name in frame}) == len(frame)
        assert not any(name.startswith("_") for name in frame)


FRAMES_OF_USERS = (
    "feature_store/features/*.py",
    "feature_store/events/*.py",
    "jobs/training/training_set.py",
    "jobs/night/score.py",
    "jobs/night/scorer.py",
)
# Tiles, sums of them, and counts of broken rows: no column of a user is in these.
OF_OTHER_FRAMES = frozenset(
    "history key value item low high text known_at total band usable_from n sign day t "
    "rows example".split()
)
# Fields of a struct that holds the time and the order of a version: they meet no column.
OF_STRUCTS = frozenset("at known of place since told until".split())


def test_what_steps_add_to_rows_is_hidden_or_reserved() -> None:
    """A step that gives rows a column says so in the schema, or begins its name with _."""
    found = set()
    for path in (path for pattern in FRAMES_OF_USERS for path in ROOT.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            names = node.args[:1] if node.func.attr in ("alias", "withColumn") else []
            if node.func.attr == "withColumnRenamed":
                names = node.args[1:2]
            if node.func.attr == "withColumns" and isinstance(node.args[0], ast.Dict):
                names = [key for key in node.args[0].keys if key is not None]
            found |= {str(n.value) for n in names if isinstance(n, ast.Constant)}
    shown = {name for name in found if not name.startswith("_")}
    assert shown - OF_OTHER_FRAMES - OF_STRUCTS - {*RESERVED, *OF_EVENTS} == set()
