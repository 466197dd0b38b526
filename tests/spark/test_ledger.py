"""Promises of the ledger: whoever publishes at once, nothing is lost, and a look costs a file."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from feature_store.errors import PublishFenced, WriteConflict
from feature_store.schema import LEDGER
from jobs.context import Context
from jobs.night import ledger
from jobs.night.ledger import Publication, current, history, insert
from tests.toy import clicky_definition, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.home import Home

DAYS = toy_days(4)
Open = Callable[[], Context]


@pytest.fixture
def opened(spark: SparkSession, home: Home) -> Open:
    """Open the toy pipeline as another driver does: with nothing known of its tables."""
    definition = clicky_definition()
    return lambda: Context.open(definition, home, spark)


def row(day: date, *, run: str = "", sequence: int = 1) -> Publication:
    return Publication(
        ds=day, sequence=sequence, publication=f"p{day}{run}{sequence}", run_id=run or f"r{day}",
        model_name="lr", model_version=1, model_digest="d", inputs="{}", rows=3, who="tests",
        why="test", published_at=datetime(2026, 2, 1, tzinfo=UTC),
    )  # fmt: skip


def files(context: Context) -> int:
    """How many files the ledger is read from."""
    version = context.warehouse.version(LEDGER)
    return len(context.warehouse.read(LEDGER, version=version).inputFiles())


def test_two_that_publish_different_days_at_once_both_publish(opened: Open) -> None:
    insert(opened(), [row(DAYS[0])])
    start = threading.Barrier(2)

    def publish(day: date) -> Publication | PublishFenced:
        context = opened()
        start.wait()
        return insert(context, [row(day)])[day]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(publish, DAYS[1:3]))
    assert done == [row(day) for day in DAYS[1:3]]
    assert current(opened()) == {day: row(day) for day in DAYS[:3]}


def test_a_publication_of_another_day_in_between_is_no_reason_to_give_up(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interleaving forced: another day is published after this one looked."""
    insert(opened(), [row(DAYS[0])])
    context, other, tries = opened(), opened(), []
    insert_unless = context.warehouse.insert_unless

    def after_another(*arguments: object) -> None:
        tries.append(arguments)
        if len(tries) == 1:
            insert(other, [row(DAYS[1])])
            raise WriteConflict("what Delta says of what came in between")
        insert_unless(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(context.warehouse, "insert_unless", after_another)
    assert insert(context, [row(DAYS[2])]) == {DAYS[2]: row(DAYS[2])}
    assert len(tries) == 2
    assert [p.ds for p in history(opened())] == DAYS[:3]


def test_of_two_that_publish_one_day_at_once_one_wins(opened: Open) -> None:
    insert(opened(), [row(DAYS[0])])
    start = threading.Barrier(2)

    def publish(run: str) -> Publication | PublishFenced:
        context = opened()
        start.wait()
        return insert(context, [row(DAYS[1], run=run)])[DAYS[1]]

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(publish, ["one", "two"]))
    (winner,) = history(opened(), [DAYS[1]])
    assert sorted(isinstance(outcome, PublishFenced) for outcome in done) == [False, True]
    assert winner in done


def test_who_never_gets_through_says_so(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    context, tries = opened(), []
    insert(context, [row(DAYS[0])])

    def conflict(*arguments: object) -> None:
        tries.append(arguments)
        raise WriteConflict("again")

    monkeypatch.setattr(context.warehouse, "insert_unless", conflict)
    monkeypatch.setattr(ledger, "_PAUSE_SECONDS", 0.0)
    with pytest.raises(WriteConflict, match=f"ds={DAYS[1]}: 10 tries met other writers. Run again"):
        insert(context, [row(DAYS[1])])
    assert len(tries) == 10
    assert [p.ds for p in history(opened())] == [DAYS[0]]


def test_a_compacted_ledger_is_one_file_and_says_the_same(opened: Open) -> None:
    context = opened()
    for day in DAYS:
        insert(context, [row(day)])
    insert(context, [dataclasses.replace(row(DAYS[0], sequence=2), run_id="again")])
    before = history(context)
    assert files(context) == 5
    context.warehouse.compact(LEDGER)
    assert files(context) == 1
    assert history(opened()) == before
    assert insert(opened(), [row(DAYS[3], sequence=2)])[DAYS[3]] == row(DAYS[3], sequence=2)
