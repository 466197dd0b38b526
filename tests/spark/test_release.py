"""Rows that were set aside are looked at and let in: as a delivery of their day, and on record."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feature_store.errors import PartitionNotReady, TooManyBadRows, UsageError
from feature_store.events.release import can_be_released
from feature_store.home import Home
from feature_store.schema import FEATURES, stream_table
from jobs.cli import quarantine
from jobs.cli.app import main
from jobs.context import Context
from jobs.maintenance.quarantined import counted, examples
from jobs.night.prepare import Prepared, prepare
from jobs.night.released import Chosen, release, released_rows
from tests.toy import COLUMNS, EVENTS, QUARANTINE, Row, Rows, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

DAYS = toy_days(4)
BAD = DAYS[1]
GOOD = tuple(
    Row(day=day, user=user, item=item, price=day + 1.0, clicked=user == "b")
    for day in range(4)
    for user in "abc"
    for item in ("x", "y")
)
REFUNDS = (
    Row(day=1, user="r", item="x", price=-5.0, clicked=True),
    Row(day=1, user="s", item="y", price=-7.5),
)
# Out of range, and known before there was a computer: nobody can say when it was known.
HOPELESS = Row(day=1, user="t", item="y", price=-9.0, planned=-600_000.0)
RANGE = Chosen(ds=BAD, reason="range(price)")


def opened(spark: SparkSession, home: Home, definition: Definition) -> Context:
    return Context.open(definition, home, spark)


def of(*rows: Row, **changes: object) -> Definition:
    return changed(toy_definition((*GOOD, *rows)), **changes)


def prepared(context: Context) -> Prepared:
    return prepare(context, DAYS, lambda _: None)


def held(context: Context, table: str) -> list[str]:
    return sorted(str(row) for row in context.warehouse.read(table, DAYS).collect())


def let_in(context: Context, chosen: Chosen = RANGE) -> int:
    return release(context, context.definition.stream, chosen, who="ann", why="refunds")


def test_released_rows_are_what_they_would_be_without_the_rule(
    spark: SparkSession, home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context = opened(spark, home, of(*REFUNDS, HOPELESS))
    stream = context.definition.stream
    prepared(context)
    before = held(context, FEATURES)
    (found,) = counted(context, stream, DAYS)
    assert (found.ds, found.reason, found.rows, found.events) == (BAD, "range(price)", 3, 6)
    assert (found.can_be_released, found.released) == (True, 0)
    shown = examples(context, stream, DAYS, "", 2)
    assert [json.loads(one["row"])["price"] for one in shown] == [-5.0, -7.5]

    assert let_in(context, replace(RANGE, holding='"user":"r"')) == 1
    assert let_in(context) == 2, "one is in already"
    assert let_in(context) == 0
    assert held(context, FEATURES) == before, "until the day is taken in"

    again = opened(spark, home, context.definition)
    assert prepared(again).written > 0
    no_rule = tuple(replace(c, minimum=None) if c.name == "price" else c for c in COLUMNS)
    free_home = Home.of(tmp_path_factory.mktemp("free"))
    free = opened(spark, free_home, of(*REFUNDS, columns=no_rule))
    prepared(free)
    assert held(again, EVENTS) == held(free, EVENTS)
    assert held(again, FEATURES) == held(free, FEATURES) != before
    (left,) = counted(again, stream, DAYS)[:1]
    assert (left.reason, left.rows, left.can_be_released) == ("known_at(planned_at)", 1, False)

    assert prepared(opened(spark, home, context.definition)).written == 0
    record = released_rows(again, stream, DAYS)
    assert record is not None
    assert {(row.released_by, row.why, row.reason) for row in record.collect()} == {
        ("ann", "refunds", "range(price)")
    }


def test_a_day_of_too_many_bad_rows_is_mended_by_letting_them_in(
    spark: SparkSession, home: Home
) -> None:
    context = opened(spark, home, of(*REFUNDS, max_bad_share=0.1))
    with pytest.raises(TooManyBadRows):
        prepared(context)
    assert let_in(context) == 2
    again = opened(spark, home, context.definition)
    prepared(again)
    assert again.warehouse.commits(EVENTS)[EVENTS, BAD, ""].rows == 8
    assert again.warehouse.commits(QUARANTINE)[QUARANTINE, BAD, ""].rows == 0


@pytest.mark.parametrize(
    ("reason", "can"),
    [
        ("range(price)", True),
        ("null(price)", True),
        ("null(user)", False),
        ("null(happened_at)", False),
        ("range(planned_at)", False),
        ("range(nothing)", False),
        ("type(price)", False),
        ("not_finite(price)", False),
        ("event_day(happened_at)", False),
        ("known_at(planned_at)", False),
        ("duplicate_key", False),
        ("superseded", False),
        ("unreadable", False),
        ("range", False),
    ],
)
def test_only_what_a_value_may_be_can_be_put_aside(reason: str, *, can: bool) -> None:
    assert can_be_released(reason, toy_definition(GOOD).stream) is can


def test_what_cannot_be_let_in_is_refused_and_nothing_is_written(
    spark: SparkSession, home: Home
) -> None:
    context = opened(spark, home, of(*REFUNDS))
    with pytest.raises(PartitionNotReady, match="never taken in"):
        let_in(context)
    prepared(context)
    with pytest.raises(UsageError, match="such rows cannot be released"):
        let_in(context, replace(RANGE, reason="null(user)"))
    assert let_in(context, replace(RANGE, holding="nowhere")) == 0
    assert context.warehouse.version(stream_table("toy", "released")) is None


def test_the_commands_show_and_release(
    spark: SparkSession,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = opened(spark, home, of(*REFUNDS))
    prepared(context)
    monkeypatch.setattr(quarantine, "open_context", lambda *_, **__: nullcontext(context))
    monkeypatch.setattr("feature_store.definitions.load", lambda _: context.definition)

    def told(*arguments: str, code: int = 0) -> str:
        assert main(["quarantine", *arguments]) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    span = ("--pipeline=toy", f"--from={DAYS[0]}", f"--to={DAYS[3]}")
    of_day = ("--pipeline=toy", f"--ds={BAD}", "--reason=range(price)", "--why=refunds")
    lines = told("show", *span, "--rows=1").splitlines()
    assert lines[1].split() == [str(BAD), "range(price)", "2", "6", "0", "yes"]
    assert lines[2].startswith(f"{BAD} range(price): {{")
    assert "2 rows would be released" in told("release", *of_day, "--dry-run")
    assert released_rows(context, context.definition.stream, DAYS) is None
    assert "2 rows are released" in told("release", *of_day)
    assert "were released before" in told("release", *of_day)
    (row,) = (json.loads(line) for line in told("show", *span, "--json").splitlines())
    assert (row["rows"], row["released"]) == (2, 2)
    assert "no row was set aside" in told("show", *span, "--reason=type(price)")
    assert "quarantine show" in told("release", *of_day, "--holding=nowhere", code=1)
    assert "name one" in told("show", *span, "--stream=other", code=2)
    assert "cannot be released" in told(
        "release", "--pipeline=toy", f"--ds={BAD}", "--reason=superseded", "--why=x", code=2
    )


def test_a_row_that_the_source_changes_is_set_aside_again(spark: SparkSession, home: Home) -> None:
    context = opened(spark, home, of(*REFUNDS))
    prepared(context)
    let_in(context)
    prepared(opened(spark, home, context.definition))
    other = replace(REFUNDS[0], price=-6.0)
    now = opened(spark, home, changed(context.definition, source=Rows((*GOOD, other, REFUNDS[1]))))
    prepared(now)
    found = {row.user: row.price for row in now.warehouse.read(EVENTS, [BAD]).collect()}
    assert found["s"] == -7.5
    assert "r" not in found
    assert now.warehouse.commits(QUARANTINE)[QUARANTINE, BAD, ""].rows == 1
