"""Promises of what a day was made of: it survives being written down, and only content counts."""

from __future__ import annotations

import dataclasses
import json
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from feature_store.tables.commits import commit_metadata, day_files, parse
from feature_store.tables.inputs import Inputs, Pin, pack, unpack

DAY = date(2026, 1, 1)

_pins = st.lists(
    st.builds(
        Pin,
        ds=st.integers(0, 40).map(lambda n: DAY + timedelta(days=n)),
        digest=st.text("0123456789abcdef", min_size=16, max_size=16),
        version=st.integers(0, 3),
        table_id=st.sampled_from(["one", "two"]),
    ),
    unique_by=lambda pin: pin.ds,
    max_size=12,
).map(lambda pins: tuple(sorted(pins, key=lambda pin: pin.ds)))
_some_pins = _pins.filter(bool)
_inputs = st.builds(
    Inputs,
    definition=st.text(max_size=4),
    code=st.text(max_size=4),
    parts=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
    source=st.text(max_size=3),
    model=st.text(max_size=3),
    pins=st.dictionaries(st.sampled_from(["events", "tiles"]), _some_pins, max_size=2),
)


def places(pins: tuple[Pin, ...]) -> list[tuple[int, str]]:
    return [(pin.version, pin.table_id) for pin in pins]


@given(_pins)
def test_pins_are_packed_without_loss(pins: tuple[Pin, ...]) -> None:
    found = unpack(json.loads(json.dumps(pack(pins))))
    assert (found, places(found)) == (pins, places(pins))


@given(_inputs, _inputs)
def test_inputs_are_equal_if_and_only_if_their_identities_are(one: Inputs, other: Inputs) -> None:
    assert Inputs.from_json(one.to_json()) == one
    assert (one == other) == (one.identity() == other.identity())
    assert (one == other) == (not one.changes(other))


@given(_inputs)
def test_where_content_lies_changes_nothing(inputs: Inputs) -> None:
    moved = {
        table: tuple(dataclasses.replace(pin, version=9, table_id="new") for pin in pins)
        for table, pins in inputs.pins.items()
    }
    again = dataclasses.replace(inputs, pins=moved)
    assert again == inputs
    assert again.identity() == inputs.identity()
    assert inputs.changes(again) == []


def test_what_changed_of_a_definition_is_told() -> None:
    before = Inputs(
        definition="a", code="1", parts={"type of price": "int", "history x": "0" * 16, "old": "1"}
    )
    now = Inputs(
        definition="b", code="1", parts={"type of price": "bigint", "history x": "1" * 16, "z": "1"}
    )
    assert before.changes(now) == [
        "changed definition (history x, old is gone, type of price: int -> bigint and 1 more)"
    ]


def test_pins_of_a_release_that_knew_no_content_equal_none_of_now() -> None:
    old = json.dumps({"definition": "d", "code": "1", "source": "", "model": "",
                      "pins": {"events": [["2026-01-01", "2026-01-03", 4]]}})  # fmt: skip
    stored = Inputs.from_json(old)
    pin = Pin(ds=DAY, digest="0" * 16, version=4, table_id="t")
    now = Inputs(definition="d", code="1", pins={"events": (pin,)})
    assert stored != now
    assert stored.changes(now) == ["late input (events 2026-01-01 replaced)"]


def test_whose_rows_a_commit_changed_is_read_from_its_files() -> None:
    info = {"commitInfo": {"timestamp": 0, "operation": "UPDATE", "engineInfo": "delta-rs"}}
    removed = {"path": "ds=2026-01-01/run_id=r%201/a.parquet", "dataChange": True}
    added = {
        "path": "b.parquet", "partitionValues": {"ds": "2026-01-01", "run_id": "r 1"},
        "size": 1, "dataChange": True, "stats": '{"numRecords": 5}',
        "deletionVector": {"cardinality": 2},
    }  # fmt: skip
    moved = {**added, "partitionValues": {"ds": "2026-01-09"}, "dataChange": False}
    lines = [info, {"remove": removed}, {"add": added}, {"add": moved}]
    text = "\n".join(json.dumps(line) for line in lines)
    commit = parse("x.json", 7, text)
    assert commit.days == ()
    assert commit.touched == {
        (DAY, "r 1"): "UPDATE at version 7 (delta-rs, 1970-01-01 00:00:00 UTC)"
    }
    files = day_files("x.json", text, DAY, "r 1")
    assert (dict(files.added), set(files.removed)) == ({"b.parquet": 3}, {removed["path"]})


def test_our_commits_say_what_they_wrote_and_touch_nothing() -> None:
    inputs = Inputs(definition="d", code="1")
    meta = commit_metadata("events", {(DAY, ""): inputs}, "token")
    info = {"commitInfo": {"timestamp": 0, "operation": "WRITE", "userMetadata": meta}}
    added = {"path": "b", "partitionValues": {"ds": str(DAY)}, "size": 9,
             "stats": '{"numRecords": 5}'}  # fmt: skip
    text = "\n".join(json.dumps(line) for line in (info, {"add": added}))
    commit = parse("x.json", 3, text)
    (day,) = commit.days
    assert (day.rows, day.bytes, day.version, day.token, day.inputs) == (5, 9, 3, "token", inputs)
    assert not commit.touched
