"""Promises of what a day is: its content, not its version; and of what a change makes stale."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Column, History
from feature_store.schema import FEATURES, LEDGER, LINEAGE, QUALITY, SCORES, TRAINING_SETS
from jobs.context import Context
from jobs.night import build_tiles as tiles_step
from jobs.night import ingest as ingest_step
from jobs.night.ledger import current
from jobs.night.night import NightRequest, run_night
from jobs.night.prepare import prepare
from jobs.registry import model_registry
from jobs.version import REVISIONS
from models.errors import BundleInvalid
from tests.spark.test_backfill import backfill, plan, scores, statuses
from tests.taken_in import ingest
from tests.toy import (
    COLUMNS,
    EVENTS,
    QUARANTINE,
    TILES,
    Row,
    clicky_definition,
    clicky_rows,
    toy_days,
    toy_definition,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.home import Home
    from tests.conftest import OpenToy

DAYS = toy_days(8)


def with_price(**changes: Any) -> tuple[Column, ...]:
    """Return the toy's columns with another `price`."""
    return tuple(
        dataclasses.replace(column, **changes) if column.name == "price" else column
        for column in COLUMNS
    )


def versions(context: Context, table: str, days: Sequence[date] = DAYS) -> list[int]:
    """Return the version of each day, those of a later generation after all of an earlier."""
    commits = context.warehouse.commits(table)
    found = (commits[table, day, ""] for day in days)
    return [1000 * commit.generation + commit.version for commit in found]


def rows_of(context: Context, table: str, day: date) -> list[tuple[Any, ...]]:
    """Return the rows of a day, each in the order of its columns' names."""
    frame = context.warehouse.read(table, [day])
    listed = frame.select(*sorted(frame.columns)).collect()
    return sorted((tuple(row) for row in listed), key=repr)


def test_outcomes_that_come_later_leave_every_finished_night_fresh(
    open_published: OpenToy,
) -> None:
    before = current(open_published())
    # Day 7 again, with its outcomes: known after its own cut-off, so for no night up to it.
    rows = [dataclasses.replace(r, clicked=not r.clicked) if r.day == 7 else r
            for r in clicky_rows()]  # fmt: skip
    context = open_published(clicky_definition(rows))
    found = plan(context)
    assert statuses(found) == ["fresh"] * 7 + ["stale"], "nobody has looked at the delivery yet"
    events = versions(context, EVENTS)
    assert {o.outcome for o in backfill(context, found).values()} == {"already published"}
    assert versions(context, EVENTS)[7] > events[7]
    again = open_published(clicky_definition(rows))
    assert statuses(plan(again)) == ["fresh"] * 8
    assert current(again) == before


@pytest.mark.slow
def test_events_that_two_drivers_write_make_no_finished_day_stale(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dataclasses.replace(r, price=3.0) if r.day == 5 else r for r in clicky_rows()]
    slow, quick = (open_published(clicky_definition(rows)) for _ in range(2))
    judge = ingest_step.typed_rows
    of_quick: list[int] = []

    def judge_while_another_finishes(*given: Any) -> Any:
        with monkeypatch.context() as at_once:
            at_once.setattr(ingest_step, "typed_rows", judge)
            backfill(quick, plan(quick))
            of_quick.append(versions(quick, EVENTS)[5])
        return judge(*given)

    monkeypatch.setattr(ingest_step, "typed_rows", judge_while_another_finishes)
    ingest(slow, DAYS[5:6])
    assert versions(slow, EVENTS)[5] > of_quick[0], "both have written the day"
    fresh = open_published(clicky_definition(rows))
    assert statuses(plan(fresh)) == ["fresh"] * 8


@pytest.mark.slow
def test_a_retyped_column_is_a_changed_definition_and_nothing_else(
    open_published: OpenToy,
) -> None:
    before = scores(open_published())
    retyped = clicky_definition(columns=with_price(dtype="int"))
    context = open_published(retyped)
    found = plan(context)
    assert statuses(found) == ["stale"] * 8
    assert "changed definition (type of price: double -> int)" in found.days[0].reasons[0]
    prepare(context, DAYS[2:4], lambda _: None)
    assert (
        context.warehouse.read(EVENTS, DAYS[2:4]).schema["price"].dataType.simpleString() == "int"
    )
    assert len(context.warehouse.locations(EVENTS)) == 2
    # What was published before stays as it is, and the old definition finds its days again.
    assert scores(context) == before
    back = open_published()
    prepare(back, DAYS, lambda _: None)
    assert statuses(plan(back)) == ["fresh"] * 8


@pytest.mark.slow
def test_a_category_may_become_a_number_and_a_key_another_type(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=day, user=f"{user}", item="7", clicked=bool(user)) for day in range(3)
            for user in range(4)]  # fmt: skip
    prepare(Context.open(toy_definition(rows), home, spark), toy_days(3), lambda _: None)
    whole = tuple(
        dataclasses.replace(column, dtype="bigint") if column.name in ("user", "item") else column
        for column in COLUMNS
    )
    context = Context.open(toy_definition(rows, columns=whole), home, spark)
    prepare(context, toy_days(3), lambda _: None)
    types = dict(context.warehouse.read(EVENTS, toy_days(3)).dtypes)
    assert (types["user"], types["item"]) == ("bigint", "bigint")
    assert context.warehouse.read(FEATURES, toy_days(3)).count() == 12


@pytest.mark.slow
def test_a_rule_is_applied_to_the_night_and_left_to_a_backfill_for_its_history(
    open_published: OpenToy, caplog: pytest.LogCaptureFixture
) -> None:
    ruled = clicky_definition(columns=with_price(maximum=500.0))
    context = open_published(ruled)
    before, tiles = versions(context, EVENTS), versions(context, TILES)
    request = NightRequest(
        ds=DAYS[7], model=model_registry.champion(context.home, "toy"), who="ann"
    )
    run_night(context, request, lambda *_: None)
    after = versions(context, EVENTS)
    assert (after[:7], after[7] > before[7]) == (before[:7], True)
    assert "4 days of history of stream toy from 2026-01-04 on are used as they are" in caplog.text
    assert "--from 2026-01-04 --to 2026-01-07" in caplog.text
    found = plan(context, DAYS[7:])
    assert "changed definition" in found.days[0].reasons[0]
    # The rule changes no row, so nothing that is made of the rows changes either.
    prepare(context, DAYS, lambda _: None)
    assert versions(context, EVENTS)[0] > before[0]
    assert versions(context, TILES) == tiles
    assert statuses(plan(context)) == ["fresh"] * 8


def test_a_night_reads_again_the_days_of_which_its_histories_read_something_else(
    open_published: OpenToy,
) -> None:
    price = History(name="paid", keys=("item",), value="price", known="plan", windows=(2,))
    histories = (*clicky_definition().histories, price)
    changed = clicky_definition(columns=with_price(dtype="int"), histories=histories)
    context = open_published(changed)
    before = versions(context, EVENTS)
    ingest_step.ingest_events(context, context.definition.stream, DAYS[3:7], as_history=DAYS[3:7])
    after = versions(context, EVENTS)
    assert after[:3] == before[:3]
    assert all(new > old for new, old in zip(after[3:7], before[3:7], strict=True))


@pytest.mark.slow
def test_a_new_history_is_computed_and_the_others_are_taken_over(
    open_published: OpenToy, spark: SparkSession, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = History(name="paid", keys=("user",), value="price", known="plan", windows=(2,))
    more = clicky_definition(histories=(*clicky_definition().histories, price))
    context = open_published(more)
    computed: list[list[str]] = []
    build = tiles_step.build_tiles

    def build_and_tell(events: Any, tilings: Any) -> Any:
        computed.append([tiling.value for tiling in tilings])
        return build(events, tilings)

    monkeypatch.setattr(tiles_step, "build_tiles", build_and_tell)
    prepare(context, DAYS[6:], lambda _: None)
    assert computed == [["price"]]
    scratch = Context.open(more, home, spark)
    prepare(scratch, DAYS[6:], lambda _: None)
    for table in (TILES, FEATURES):
        assert rows_of(context, table, DAYS[6]) == rows_of(scratch, table, DAYS[6])

    fewer = open_published(clicky_definition())
    prepare(fewer, DAYS[6:], lambda _: None)
    assert computed == [["price"], ["clicked", "price"]], "the rest was from scratch"
    assert statuses(plan(fewer)) == ["fresh"] * 8


@pytest.mark.slow
def test_another_cutoff_over_old_tables_gives_what_it_gives_from_scratch(
    spark: SparkSession, home: Home, tmp_path: Any
) -> None:
    rows = [
        Row(day=1, user="u", item="i", price=1.0, planned=-6.0),
        Row(day=1, user="u", item="i", price=2.0, planned=3.0),
        Row(day=2, user="u", item="i", price=5.0),
    ]
    days = toy_days(3)[1:]
    for hours in (0, 6, 0):
        definition = toy_definition(rows, cutoff_hours=hours, first_day=days[0])
        context = Context.open(definition, home, spark)
        prepare(context, days, lambda _: None)
        fresh = Context.open(definition, type(home)(f"{home.root}-{hours}"), spark)
        prepare(fresh, days, lambda _: None)
        for day in days:
            assert rows_of(context, FEATURES, day) == rows_of(fresh, FEATURES, day)
        (row,) = context.warehouse.read(FEATURES, days[:1]).collect()
        assert row.price == (2.0 if hours else 1.0)


@pytest.mark.parametrize(
    "table",
    [
        EVENTS,
        *(
            pytest.param(table, marks=pytest.mark.slow)
            for table in (LINEAGE, TILES, FEATURES, SCORES, LEDGER, QUALITY, QUARANTINE)
        ),
    ],
)
def test_a_deleted_table_is_made_again(open_published: OpenToy, table: str) -> None:
    context = open_published()
    before = scores(context)
    context.warehouse.save_lineage()
    shutil.rmtree(context.warehouse.location(table))
    for again in (context, open_published()):
        outcomes = backfill(again, plan(again, DAYS[6:]))
        assert {o.outcome for o in outcomes.values()} <= {"published", "already published"}
        assert [row for row in scores(again) if row[0] in DAYS[6:]] == [
            row for row in before if row[0] in DAYS[6:]
        ]
    assert statuses(plan(open_published(), DAYS[6:])) == ["fresh"] * 2


@pytest.mark.slow
def test_scores_and_events_that_somebody_else_changed_are_made_anew(
    open_published: OpenToy, spark: SparkSession
) -> None:
    before = scores(open_published())
    for table, what in ((SCORES, "score < 0.5"), (EVENTS, "user = 'u1'")):
        place = open_published().warehouse.location(table)
        spark.sql(f"DELETE FROM delta.`{place}` WHERE ds = '{DAYS[7]}' AND {what}")
        context = open_published()
        (day,) = plan(context, DAYS[7:]).days
        assert day.status != "fresh"
        assert "DELETE at version" in " ".join(day.reasons) or "are gone" in " ".join(day.reasons)
        backfill(context, plan(context, DAYS[7:]))
        assert scores(context) == before
        assert statuses(plan(open_published())) == ["fresh"] * 8


def test_a_model_of_rows_that_other_code_encoded_is_refused(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_published()
    monkeypatch.setitem(REVISIONS, TRAINING_SETS, REVISIONS[TRAINING_SETS] + 1)
    request = NightRequest(
        ds=DAYS[7], model=model_registry.champion(context.home, "toy"), who="ann", force=True
    )
    with pytest.raises(
        BundleInvalid, match=r"other code encoded \(training_sets r\d+; now .*train"
    ):
        run_night(context, request, lambda *_: None)
