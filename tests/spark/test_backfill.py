"""Promises of plan and backfill: the reason of every stale day, nothing done twice, nobody lost."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Check
from feature_store.errors import CheckFailed, InputsReplaced
from feature_store.schema import CLAIMS, FEATURES, PLANS, SCORES
from feature_store.tables.inputs import Inputs, Pins
from jobs.backfill.backfill import Backfill, DayOutcome, Options
from jobs.backfill.claims import Claims
from jobs.backfill.plan import Plan, PlanRequest, make_plan, record_plan
from jobs.context import Context
from jobs.maintenance.tables import Retention, _remove, maintain
from jobs.night.build_features import build_day_features
from jobs.night.expected import pins
from jobs.night.ledger import current, history, scores_latest
from jobs.night.night import NightRequest, run_night, run_step
from jobs.night.prepare import prepare
from jobs.night.publish import StagedRun, publish, rollback
from jobs.night.quality import check_features, require_passed
from jobs.night.score import plan_run, score_days
from jobs.registry import model_registry
from jobs.version import REVISIONS, revision
from tests.toy import EVENTS, clicky_definition, clicky_rows, toy_days

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.conftest import OpenToy

DAYS = toy_days(8)


def plan(
    context: Context,
    days: Sequence[date] = DAYS,
    *,
    force: bool = False,
    max_days: int | None = None,
) -> Plan:
    champion = model_registry.champion(context.home, "toy")
    request = PlanRequest(
        days=tuple(days), model=champion, who="ann", why="test", force=force, max_days=max_days
    )
    return make_plan(context, request)


def backfill(context: Context, found: Plan, **options: object) -> dict[date, DayOutcome]:
    chosen = Options(**{"chunk_days": 4, **options})  # type: ignore[arg-type]
    run = Backfill(context, found, chosen, lambda *_: None, lambda _: None)
    return {outcome.ds: outcome for outcome in run.run()}


def statuses(found: Plan) -> list[str]:
    return [day.status for day in found.days]


def scores(context: Context) -> list[tuple[object, ...]]:
    frame = scores_latest(context).select("ds", "user", "item", "score")
    return sorted(tuple(row) for row in frame.collect())


def test_backfill_publishes_what_nights_publish_and_a_repeat_does_nothing(
    open_published: OpenToy,
) -> None:
    context = open_published()
    by_backfill = scores(context)
    assert len(by_backfill) == 480
    versions = {t: context.warehouse.version(t) for t in ("scores", "ledger", "features")}
    again = plan(context)
    assert (statuses(again), again.to_do) == (["fresh"] * 8, ())
    backfill(context, again)
    assert {t: context.warehouse.version(t) for t in versions} == versions

    champion = model_registry.champion(context.home, "toy")
    request = NightRequest(ds=DAYS[3], model=champion, who="ann", force=True)
    night = run_night(context, request, lambda *_: None)
    assert night.status == "published"
    assert scores(context) == by_backfill
    assert statuses(plan(open_published())) == ["fresh"] * 8


def test_plan_says_why_a_day_is_stale_and_what_blocks_it(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_published()
    late = [
        dataclasses.replace(row, clicked=not row.clicked) if row.day == 3 else row
        for row in clicky_rows()
    ]
    found = plan(open_published(clicky_definition(late)))
    reasons = {(d.ds - DAYS[0]).days: d.reasons for d in found.days if d.status == "stale"}
    # Day 3 itself, and the days whose window of 4 reads it.
    assert sorted(reasons) == [3, 4, 5, 6, 7]
    assert all("late input" in why[0] for why in reasons.values())

    with monkeypatch.context() as mended:
        before = revision("tiles")
        mended.setitem(REVISIONS, "tiles", REVISIONS["tiles"] + 1)
        after_a_fix = plan(context).days
        assert after_a_fix[0].status == "fresh", "it has no window"
        said = f"changed code version ({before} -> {revision('tiles')})"
        assert all(said in day.reasons[0] for day in after_a_fix[1:])
    changed = clicky_definition(histories=context.definition.histories[:0])
    assert all(d.status == "stale" for d in plan(open_published(changed)).days)

    gone = clicky_definition(clicky_rows(7))
    fresh_home = Context.open(gone, type(context.home)(context.home.root + "-2"), context.spark)
    champion = model_registry.champion(context.home, "toy")
    request = PlanRequest(days=tuple(DAYS), model=champion, who="ann", why="test")
    blocked = make_plan(fresh_home, request).days[-1]
    assert blocked.status == "blocked"
    assert blocked.blocked_by == (f"source of {EVENTS} {DAYS[7]}",)


@pytest.mark.slow
def test_a_late_day_is_mended_with_the_days_after_it_and_no_other(
    open_published: OpenToy,
) -> None:
    context = open_published()
    before = current(context)
    late = [
        dataclasses.replace(row, clicked=True, price=9.0) if row.day == 5 else row
        for row in clicky_rows()
    ]
    mended = open_published(clicky_definition(late))
    outcomes = backfill(mended, plan(mended))
    assert sorted(outcomes) == DAYS[5:]
    after = current(mended)
    assert all(after[day] == before[day] for day in DAYS[:5])
    assert statuses(plan(open_published(clicky_definition(late)))) == ["fresh"] * 8


@pytest.mark.slow
def test_after_a_fix_of_the_code_a_backfill_makes_every_table_anew(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_published()
    before, rows = current(context), scores(context)
    monkeypatch.setitem(REVISIONS, "events", REVISIONS["events"] + 1)
    outcomes = backfill(context, plan(context, DAYS[:2]))
    assert {outcome.outcome for outcome in outcomes.values()} == {"already published"}
    assert current(context) == before, "the rows came out the same"
    assert context.warehouse.commit(EVENTS, DAYS[0]).inputs.code == revision(
        "events", context.definition.stream.source
    )  # type: ignore[union-attr]
    assert scores(context) == rows
    assert statuses(plan(context)) == ["fresh"] * 2 + ["stale"] * 6


@pytest.mark.slow
def test_days_whose_source_was_archived_are_scored_from_their_events(
    open_published: OpenToy,
) -> None:
    rows = scores(open_published())
    archived = open_published(clicky_definition([r for r in clicky_rows() if r.day >= 6]))
    outcomes = backfill(archived, plan(archived, DAYS[5:7], force=True))
    assert {outcome.outcome for outcome in outcomes.values()} == {"published"}
    assert scores(archived) == rows


def test_what_is_finished_is_planned_without_spark(open_published: OpenToy) -> None:
    context = open_published()
    context.warehouse.save_lineage()

    def start() -> SparkSession:
        raise AssertionError("Spark was started")

    lazy = Context.opened_later(context.definition, context.home, start)
    assert statuses(plan(lazy)) == ["fresh"] * 8
    retention = Retention(runs_per_day=1)
    assert maintain(lazy, retention, lambda _: None, dry_run=True).runs_removed == ()
    with pytest.raises(AssertionError, match="Spark was started"):
        lazy.warehouse.read(EVENTS)


@pytest.mark.slow
def test_max_days_does_the_oldest_and_plans_are_kept(open_toy: OpenToy) -> None:
    context = open_toy()
    found = plan(context, max_days=2)
    record_plan(context, found)
    assert sorted(backfill(context, found)) == DAYS[:2]
    (row,) = context.warehouse.read(PLANS).collect()
    assert (row.plan_id, row.who, row.why) == (found.plan_id, "ann", "test")
    assert statuses(plan(context)) == ["fresh"] * 2 + ["missing"] * 6
    assert plan(context).estimate.write_seconds is not None


@pytest.mark.slow
def test_a_day_that_fails_its_checks_is_left_out_and_the_others_are_published(
    open_toy: OpenToy,
) -> None:
    dear = [
        dataclasses.replace(row, price=2000.0) if row.day == 2 and row.user == "u1" else row
        for row in clicky_rows()
    ]
    context = open_toy(clicky_definition(dear))
    outcomes = backfill(context, plan(context, DAYS[1:4]))
    assert outcomes[DAYS[2]].outcome == "failed"
    assert "between(price) column=price" in outcomes[DAYS[2]].detail
    assert "bad_rows=6 of 60" in outcomes[DAYS[2]].detail
    assert sorted(current(context)) == [DAYS[1], DAYS[3]]


@pytest.mark.slow
def test_a_day_held_by_a_living_process_is_skipped_by_name_and_a_dead_one_is_taken_over(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_toy()
    assert Claims(context, "bob", "a mend").take(DAYS[:1]) == {}
    outcomes = backfill(context, plan(context, DAYS[:2]), on_held="skip")
    assert [outcomes[day].outcome for day in DAYS[:2]] == ["held", "published"]
    assert f"bob (process {os.getpid()} on" in outcomes[DAYS[0]].detail
    assert "a mend" in outcomes[DAYS[0]].detail

    monkeypatch.setattr("jobs.backfill.claims._is_running", lambda _: False)
    outcomes = backfill(context, plan(context, DAYS[:2]), on_held="skip")
    assert outcomes[DAYS[0]].outcome == "published"


def test_a_released_or_expired_claim_is_free(open_toy: OpenToy) -> None:
    context = open_toy()
    first, second = Claims(context, "ann", ""), Claims(context, "bob", "")
    assert first.take(DAYS[:2]) == {}
    assert list(second.take(DAYS[:2])) == DAYS[:2]
    first.release(DAYS[:1])
    assert list(second.take(DAYS[:2])) == DAYS[1:2]
    claim = second.take(DAYS[:2])[DAYS[1]]
    assert not claim.is_live(datetime.now(UTC) + timedelta(hours=3))
    assert context.warehouse.read(CLAIMS).count() == 2


@pytest.mark.slow
def test_an_overtaken_backfill_says_who_won(open_published: OpenToy) -> None:
    context = open_published()
    newer = dataclasses.replace(model_registry.champion(context.home, "toy"), version=7)
    request = NightRequest(ds=DAYS[0], model=newer, who="carol", why="new model", force=True)
    run_night(context, request, lambda *_: None)
    outcomes = backfill(context, plan(context, DAYS[:1], force=True))
    assert outcomes[DAYS[0]].outcome == "overtaken"
    assert "older than the published 7" in outcomes[DAYS[0]].detail
    outcomes = backfill(context, plan(context, DAYS[:1], force=True), allow_older_model=True)
    assert outcomes[DAYS[0]].outcome == "published"


@pytest.mark.slow
def test_maintenance_removes_only_runs_nobody_can_read_and_rollback_still_works(
    open_toy: OpenToy,
) -> None:
    context = open_toy()
    backfill(context, plan(context, DAYS[:1]))
    first = current(context)[DAYS[0]]
    for price in (7.0, 8.0):
        changed = [dataclasses.replace(r, price=price) for r in clicky_rows()]
        other = open_toy(clicky_definition(changed))
        backfill(other, plan(other, DAYS[:1]))
    latest = scores(context)
    keep = Retention(runs_per_day=2)
    would = maintain(context, keep, lambda _: None, dry_run=True)
    assert would.runs_removed == (f"{DAYS[0]} {first.run_id}",)
    bob = Claims(open_toy(), "bob", "a mend")
    bob.take(DAYS[:1])
    said: list[str] = []
    assert maintain(context, keep, said.append, dry_run=False).runs_removed == ()
    assert said[0].startswith(f"{DAYS[0]} is left alone: held by bob (process")
    bob.release(DAYS[:1])
    assert len(maintain(context, keep, lambda _: None, dry_run=False).runs_removed) == 1
    assert scores(context) == latest
    assert maintain(context, keep, lambda _: None, dry_run=True).runs_removed == ()
    rejected = current(context)[DAYS[0]].run_id
    rollback(context, DAYS[0], who="ann", why="back")
    assert len({p.run_id for p in history(context)}) == 3
    # What the rollback left is surplus now; what one could go back to would not be.
    removed = maintain(context, keep, lambda _: None, dry_run=True).runs_removed
    assert removed == (f"{DAYS[0]} {rejected}",)
    with pytest.raises(Exception, match="cleaned up by retention"):
        rollback(context, DAYS[0], who="ann", why="too far", to_run=first.run_id)


def test_a_published_run_that_lost_its_rows_is_scored_again_by_the_next_night(
    open_published: OpenToy,
) -> None:
    context = open_published()
    rows = scores(context)
    commit = context.warehouse.commit(SCORES, DAYS[0], current(context)[DAYS[0]].run_id)
    assert commit is not None
    _remove(open_published(), commit)
    assert len(scores(context)) == len(rows) - 60
    champion = model_registry.champion(context.home, "toy")
    request = NightRequest(ds=DAYS[0], model=champion, who="ann")
    assert run_night(context, request, lambda *_: None).status == "published"
    assert scores(context) == rows


@pytest.mark.slow
def test_a_backfill_leaves_a_rollback_alone_unless_forced(open_published: OpenToy) -> None:
    context = open_published()
    older = current(context)[DAYS[7]]
    changed = clicky_definition([dataclasses.replace(row, price=7.0) for row in clicky_rows()])
    context = open_published(changed)
    backfill(context, plan(context, DAYS[7:]))
    rollback(context, DAYS[7], who="ann", why="prices are wrong")

    (day,) = plan(context, DAYS[7:]).days
    assert (day.status, day.published_run) == ("fresh", older.run_id)
    assert "was rolled back by ann: prices are wrong" in day.reasons[0]
    # Planned before the rollback, as another process may have.
    stale = plan(context, DAYS[7:], force=True)
    unforced = dataclasses.replace(stale, request=dataclasses.replace(stale.request, force=False))
    assert backfill(context, unforced)[DAYS[7]].outcome == "already published"
    assert current(context)[DAYS[7]].run_id == older.run_id
    assert backfill(context, stale)[DAYS[7]].outcome == "published"
    assert current(context)[DAYS[7]].run_id != older.run_id


def _make_dearer(context: Context, days: Sequence[date]) -> None:
    """Replace features by others, as a driver with other events would."""
    rows = context.warehouse.read(FEATURES, days)
    inputs = {day: context.warehouse.commits(FEATURES)[FEATURES, day, ""].inputs for day in days}
    dearer = rows.withColumn("price", rows["price"] + 1)
    context.warehouse.replace_days(FEATURES, dearer, inputs)


@pytest.mark.slow
def test_features_replaced_under_a_run_are_not_scored_unchecked(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the check and before scoring another driver builds them anew; night and backfill."""
    context, other = open_published(), open_published()
    champion = model_registry.champion(context.home, "toy")
    run = plan_run(context, DAYS[6], champion)
    build_day_features(other, [DAYS[6]], force=True)
    assert plan_run(context, DAYS[6], champion) == run, "they are what they were"
    _make_dearer(other, [DAYS[6]])
    with pytest.raises(InputsReplaced, match=r"features \(version \d+ by \d+\)"):
        score_days(context, [run], force=True)

    calls: list[Sequence[date]] = []

    def check_and_be_overtaken(context: Context, days: Sequence[date]) -> Any:
        results = check_features(context, days)
        if not calls:
            _make_dearer(other, days[:1])
        calls.append(days)
        return results

    monkeypatch.setattr("jobs.night.work.check_features", check_and_be_overtaken)
    outcomes = backfill(context, plan(context, DAYS[6:], force=True))
    assert {outcome.outcome for outcome in outcomes.values()} == {"published"}
    assert len(calls) == 2, "checked again after the features changed"
    calls.clear()
    night = NightRequest(ds=DAYS[6], model=champion, who="ann", force=True)
    run_night(context, night, lambda *_: None)
    assert len(calls) == 2
    assert proven(context, DAYS[6]) == pins(context, FEATURES, [DAYS[6]])


def proven(context: Context, day: date) -> Pins:
    """Return the pins of the features whose checks the publication of a day carries."""
    published = current(context, [day])[day]
    made_of = Inputs.from_json(published.inputs).pins[FEATURES]
    proofs = json.loads(published.checks)
    assert [proof["stage"] for proof in proofs] == ["features", "scores"]
    assert all(Inputs.from_json(json.dumps(p["of"])).pins[FEATURES] == made_of for p in proofs)
    assert proofs[1]["of"]["source"] == published.run_id
    return made_of


def test_what_is_published_step_by_step_was_checked_as_it_is(
    open_published: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, other = open_published(), open_published()
    champion = model_registry.champion(context.home, "toy")
    request = NightRequest(ds=DAYS[7], model=champion, who="ann", force=True)
    before = current(context)[DAYS[7]]
    seen: list[Sequence[date]] = []

    def counted(context: Context, days: Sequence[date]) -> Any:
        seen.append(days)
        return check_features(context, days)

    monkeypatch.setattr("jobs.night.work.check_features", counted)
    run_step(context, request, "check features")
    _make_dearer(other, [DAYS[7]])
    # Nobody checked these: scoring does it now, and the record is of them.
    run_step(context, request, "score")
    assert len(seen) == 2
    run_step(context, request, "publish")
    assert len(seen) == 2, "the record of exactly these features counts"
    assert proven(context, DAYS[7]) == pins(context, FEATURES, [DAYS[7]])
    assert current(context)[DAYS[7]].run_id != before.run_id


@pytest.mark.slow
def test_a_check_that_was_added_after_scoring_has_to_pass_before_publication(
    open_published: OpenToy,
) -> None:
    context = open_published()
    champion = model_registry.champion(context.home, "toy")
    request = NightRequest(ds=DAYS[7], model=champion, who="ann", force=True)
    before = current(context)[DAYS[7]]
    for step in ("check features", "score", "check scores"):
        run_step(context, request, step)
    for stage, column in (("features", "price"), ("scores", "score")):
        added = Check(stage=stage, kind="mean_between", columns=(column,), maximum=-1.0)  # type: ignore[arg-type]
        stricter = open_published(clicky_definition(checks=(*context.definition.checks, added)))
        for _ in range(2):  # the second time the record says so
            with pytest.raises(CheckFailed, match=rf"on {stage} failed: mean_between\({column}\)"):
                run_step(stricter, request, "publish")
    assert current(context)[DAYS[7]] == before
    # The checks as they were: the records are of others now, and everything is checked again.
    assert run_step(context, request, "publish").endswith("published, 60 rows")


def test_nothing_is_published_without_proof_of_exactly_that(open_published: OpenToy) -> None:
    context = open_published()
    champion = model_registry.champion(context.home, "toy")
    run = plan_run(context, DAYS[7], champion)
    features = require_passed(context, "features", DAYS[7], check_features(context, DAYS[7:]))
    staged = StagedRun(run=run, rows=60, fence=1, checked=(features,))
    with pytest.raises(CheckFailed, match=rf"run {run.run_id} was not published: .* its scores"):
        publish(context, [staged], who="ann", why="test")
    _make_dearer(open_published(), DAYS[7:])
    newer = plan_run(context, DAYS[7], champion)
    with pytest.raises(CheckFailed, match="that its features and its scores passed"):
        publish(context, [dataclasses.replace(staged, run=newer)], who="ann", why="test")


@pytest.mark.slow
def test_a_night_takes_in_what_the_source_delivered_again_for_its_history(
    open_toy: OpenToy, open_published: OpenToy
) -> None:
    first = [dataclasses.replace(r, clicked=None) if r.day == 5 else r for r in clicky_rows(7)]
    context = open_toy(clicky_definition(first))
    prepare(context, DAYS[:6], lambda _: None)

    delivered_again = open_toy(clicky_definition(clicky_rows(7)))
    champion = model_registry.champion(context.home, "toy")
    night = NightRequest(ds=DAYS[6], model=champion, who="ann")
    run_night(delivered_again, night, lambda *_: None)
    wanted = open_published().warehouse.read(FEATURES, [DAYS[6]])
    found = delivered_again.warehouse.read(FEATURES, [DAYS[6]])
    assert sorted(found.collect()) == sorted(wanted.select(found.columns).collect())


@pytest.mark.slow
def test_days_that_all_fail_their_checks_end_as_failed(open_published: OpenToy) -> None:
    never = Check(stage="scores", kind="mean_between", columns=("score",), minimum=0.99)
    context = open_published(clicky_definition(checks=(never,)))
    before = current(context)
    outcomes = backfill(context, plan(context, DAYS[5:], force=True), chunk_days=2)
    assert [outcomes[day].outcome for day in DAYS[5:]] == ["failed"] * 3
    assert current(context) == before


def test_a_claim_that_cannot_be_released_hides_no_other_error(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claims = Claims(open_toy(), "ann", "")
    claims.take(DAYS[:1])
    monkeypatch.setattr(claims.context.warehouse, "upsert", None)
    claims.release(DAYS[:1])
    assert "end by themselves only" in caplog.text


@pytest.mark.slow
def test_checks_of_every_day_are_recorded(open_toy: OpenToy) -> None:
    checks = (Check(stage="scores", kind="mean_between", columns=("score",), maximum=1.0),)
    context = open_toy(clicky_definition(checks=checks))
    backfill(context, plan(context, DAYS[:2]))
    rows = context.warehouse.read("quality").where("stage = 'scores'").collect()
    assert {(r.ds, r.check, r.passed) for r in rows} == {
        (day, check, True)
        for day in DAYS[:2]
        for check in ("one_score_per_row", "mean_between(score)")
    }
