"""Promises of maintenance beside nights: what is published keeps its rows, wherever they meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import jobs.maintenance.tables as tables
from feature_store.errors import NightscoreError
from feature_store.schema import LEDGER, SCORES
from jobs.context import Context
from jobs.maintenance.tables import Retention, remove_surplus, surplus_runs
from jobs.night.ledger import (
    announce_removal,
    current,
    history,
    insert,
    is_same_work,
    next_run,
    pasts,
    scores_latest,
)
from jobs.night.night import NightRequest, NightResult, Stopwatch, run_night, score_night
from jobs.night.publish import has_scores, rollback
from jobs.registry import model_registry
from tests.toy import toy_days

if TYPE_CHECKING:
    from tests.conftest import OpenToy

DAY = toy_days(8)[6]
KEEP_ONE = Retention(runs_per_day=1)


def night(context: Context, **asked: Any) -> NightResult:
    return run_night(context, request(context, **asked), lambda *_: None)


def request(context: Context, **asked: Any) -> NightRequest:
    champion = model_registry.champion(context.home, "toy")
    return NightRequest(ds=DAY, model=champion, who="ann", **asked)


def removed(context: Context, keep: Retention, said: list[str] | None = None) -> list[str]:
    """Remove what is surplus and return the runs that went."""
    lines: list[str] = [] if said is None else said
    return [commit.run_id for commit in remove_surplus(context, keep, lines.append)]


def rows(context: Context) -> list[tuple[object, ...]]:
    frame = scores_latest(context, [DAY]).select("user", "item", "score")
    return sorted(tuple(row) for row in frame.collect())


def with_older_run(context: Context) -> str:
    """Publish another run of the day over the first, and return the first, which is surplus now.

    The rows of the second are those of the first: what is looked at here is the ledger.
    """
    first = current(context, [DAY])[DAY]
    staged = context.warehouse.read(SCORES, [DAY]).where(f"run_id = '{first.run_id}'")
    from pyspark.sql import functions as F

    second = "f" * 16
    commit = context.warehouse.commit(SCORES, DAY, first.run_id)
    assert commit is not None
    context.warehouse.replace_runs(
        SCORES, staged.withColumn("run_id", F.lit(second)), {(DAY, second): commit.inputs}
    )
    row = replace(first, run_id=second, sequence=2, publication="second", who="bob", why="newer")
    assert insert(context, [row])[DAY] == row
    return first.run_id


def between(
    monkeypatch: pytest.MonkeyPatch, name: str, do: Callable[[], object], *, before: bool
) -> None:
    """Have `do` done once, before or after maintenance calls one of its functions."""
    original, done = getattr(tables, name), []

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if before and not done:
            done.append(do())
        result = original(*arguments, **named)
        if not before and not done:
            done.append(do())
        return result

    monkeypatch.setattr(tables, name, wrapped)


@pytest.mark.slow
def test_a_run_published_between_the_list_and_its_removal_stays(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, other = open_published(), open_published()
    old = with_older_run(context)
    wanted = rows(context)

    def roll_back() -> None:
        rollback(other, DAY, who="ann", why="back", to_run=old)

    between(monkeypatch, "announce_removal", roll_back, before=True)
    said: list[str] = []
    assert removed(context, KEEP_ONE, said) == []
    assert f"{DAY} is left alone: something was published just now" in said
    assert current(context, [DAY])[DAY].run_id == old
    assert rows(context) == wanted
    # What the rollback replaced is surplus instead, and the ledger says that it went.
    assert removed(context, KEEP_ONE) == ["f" * 16]
    assert pasts(context, [DAY])[DAY].removed == {"f" * 16}
    assert rows(context) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_a_run_that_is_being_removed_is_scored_again_under_another_id(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    context, other = open_published(), open_published()
    old = with_older_run(context)
    wanted = rows(context)
    told: list[str] = []

    def publish_again() -> None:
        with pytest.raises(NightscoreError, match=r"cleaned up by retention.* --force"):
            rollback(other, DAY, who="ann", why="back", to_run=old)
        again = request(other, force=True)
        told.append(score_night(other, again, Stopwatch(lambda *_: None)).run_id)

    between(monkeypatch, "_remove", publish_again, before=before)
    assert removed(context, KEEP_ONE) == [old]
    assert told == [f"{old}-2"]
    assert current(context, [DAY])[DAY].run_id == f"{old}-2"
    assert rows(context) == wanted
    commit = context.warehouse.commit(SCORES, DAY, old)
    assert commit is not None
    assert commit.rows == 0
    # The same work: nothing is to be done, whatever its attempt is called.
    assert night(other).status == "already published"


@pytest.mark.slow
def test_a_night_whose_staged_scores_are_taken_before_it_publishes_makes_them_anew(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was staged by a night that failed long ago; this one finds it, and loses it."""
    from jobs.night import steps

    context, other = open_toy(), open_toy()
    at_once = Retention(staged_hours=0.0)
    publish = steps.publish
    taken: list[str] = []

    def remove_and_publish(context: Context, *arguments: Any, **named: Any) -> Any:
        if not taken:
            taken.extend(removed(other, at_once))
        return publish(context, *arguments, **named)

    monkeypatch.setattr(steps, "publish", remove_and_publish)
    result = night(context)
    assert (result.status, result.run_id, result.rows) == ("published", f"{taken[0]}-2", 60)
    assert len(rows(context)) == 60
    assert all(has_scores(context, p) for p in history(context, [DAY]))


@pytest.mark.slow
def test_a_removal_that_was_cut_short_is_finished_by_the_next(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_published()
    old = with_older_run(context)
    with monkeypatch.context() as killed:
        killed.setattr(tables, "_remove", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            removed(context, KEEP_ONE)
    assert [c.run_id for c in surplus_runs(context, Retention(runs_per_day=9))] == [old]
    assert removed(context, Retention(runs_per_day=9)) == [old]
    assert context.warehouse.read(LEDGER, [DAY]).where("removed_run IS NOT NULL").count() == 1


@pytest.mark.slow
def test_a_removal_is_no_publication_to_anyone_who_reads_the_ledger(
    open_published: OpenToy,
) -> None:
    from feature_store.tables.reader import Reader
    from jobs.night.published import publications

    context = open_published()
    wanted = rows(context)
    for seen, run in ((0, "late"), (1, "other")):
        is_fenced = announce_removal(
            context, DAY, run, rows=60, seen=seen, who="maintenance", why="test"
        )
        assert is_fenced == (seen == 1), "what was published since it looked is in its way"
    assert rows(context) == wanted
    assert [p.run_id for p in publications(Reader(context.home, "toy"), [DAY])] == [
        current(context, [DAY])[DAY].run_id
    ]
    # As docs/tables.md says it, and with the largest sequence in any order of nulls.
    place = {name: context.warehouse.location(name) for name in (SCORES, LEDGER)}
    documented = f"""
        SELECT s.* FROM delta.`{place[SCORES]}` AS s JOIN (
          SELECT ds, max_by(run_id, sequence) AS run_id FROM delta.`{place[LEDGER]}` GROUP BY ds
        ) AS p USING (ds, run_id) WHERE ds = DATE'{DAY}'
    """
    assert context.spark.sql(documented).count() == 60
    unpublished = announce_removal(
        context, toy_days(9)[8], "staged", rows=1, seen=0, who="maintenance", why="test"
    )
    assert unpublished
    assert toy_days(9)[8] not in current(context)
    assert not publications(Reader(context.home, "toy"), [toy_days(9)[8]])


@pytest.mark.slow
def test_a_ledger_of_an_earlier_release_is_read_and_gains_its_columns(
    open_published: OpenToy,
) -> None:
    import shutil

    context = open_published()
    wanted = rows(context)
    old = context.warehouse.read(LEDGER).drop("checks", "notes", "removed_run").collect()
    schema = ", ".join(
        f"{f.name} {f.dataType.simpleString()}"
        for f in context.warehouse.read(LEDGER).schema.fields
        if f.name not in ("checks", "notes", "removed_run")
    )
    shutil.rmtree(context.warehouse.location(LEDGER))
    context.warehouse.append(LEDGER, context.spark.createDataFrame(old, schema), ["ds"])
    again = open_published()
    assert len(history(again)) == 8
    assert rows(again) == wanted
    assert night(again, force=True).status == "published"
    assert rows(again) == wanted
    assert [bool(p.checks) for p in history(again, [DAY])] == [False, True]


def test_a_removed_runs_id_is_not_used_again() -> None:
    assert next_run("ab", set()) == "ab"
    assert next_run("ab", {"ab"}) == "ab-2"
    assert next_run("ab", {"ab", "ab-2", "cd-3"}) == "ab-3"
    assert is_same_work("ab-2", "ab")
    assert not is_same_work("ab", "ac")
