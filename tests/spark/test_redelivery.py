"""Promises about bad deliveries: one takes no other day with it, and what was there before is used.

Tonight's own source being bad is the one thing that stops tonight.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from feature_store.errors import (
    NothingKnown,
    PartitionNotReady,
    SourceCorrupt,
    SourceDayMissing,
    TooManyBadRows,
    WriteFailed,
)
from feature_store.home import Home
from feature_store.schema import FEATURES
from jobs.backfill.backfill import Backfill, DayOutcome, Options
from jobs.backfill.plan import Plan, PlanRequest, make_plan
from jobs.context import Context
from jobs.night import ingest as ingest_step
from jobs.night.ingest import ingest_events
from jobs.night.known_late import known_late
from jobs.night.ledger import current
from jobs.night.night import NightRequest, NightResult, run_night, run_step
from jobs.night.prepare import prepare
from jobs.night.refused import EARLIER_USED
from jobs.registry import model_registry
from jobs.report.render import render_report
from tests.toy import (
    EVENTS,
    QUARANTINE,
    REFUSED,
    TILES,
    Row,
    Rows,
    clicky_definition,
    clicky_rows,
    toy_days,
    toy_definition,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tests.conftest import OpenToy

DAYS = toy_days(8)
BAD, TONIGHT = DAYS[5], DAYS[7]

REDELIVERIES = {
    "header only": SourceDayMissing,
    "bad rows": TooManyBadRows,
    "unreadable": SourceCorrupt,
    "no fingerprint": SourceCorrupt,
    "breaks in a task": SourceCorrupt,
}


@contextmanager
def delivered(how: str, bad: date = BAD) -> Iterator[None]:
    """Have the toy's source hold another delivery of a day, which is broken in some way."""
    fingerprint_of, rows_of = Rows.fingerprint, Rows.read

    def fingerprint(self: Rows, day: date) -> str:
        if day == bad and how == "gone":
            raise SourceDayMissing("toy", day, "the file is gone", "Wait")
        if day == bad and how == "no fingerprint":
            raise SourceCorrupt(f"the file of {day} is a gzip that was cut short")
        own = fingerprint_of(self, day)
        return f"{own}-{how}" if day == bad else own

    def read(self: Rows, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        rows, is_bad = rows_of(self, spark, days), F.col("ds") == F.lit(bad)
        if bad not in days:
            return rows
        if how in ("unreadable", "no fingerprint"):
            raise SourceCorrupt(f"the file of {bad} is not UTF-8")
        if how == "header only":
            return rows.where(~is_bad)
        price = F.col("price")
        if how == "bad rows":
            return rows.withColumn("price", F.when(is_bad, -1.0).otherwise(price))
        if how == "breaks in a task":
            broken = F.raise_error(F.lit("the Parquet file is cut short")).cast("double")
            return rows.withColumn("price", F.when(is_bad, broken).otherwise(price))
        assert how == "another price"
        return rows.withColumn("price", F.when(is_bad, price + 1.0).otherwise(price))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rows, "fingerprint", fingerprint)
        patch.setattr(Rows, "read", read)
        yield


def request(context: Context, day: date = TONIGHT, **asked: Any) -> NightRequest:
    champion = model_registry.champion(context.home, "toy")
    return NightRequest(ds=day, model=champion, who="ann", **asked)


def night(context: Context, day: date = TONIGHT, **asked: Any) -> NightResult:
    return run_night(context, request(context, day, **asked), lambda *_: None)


def plan(context: Context, days: Sequence[date] = DAYS) -> Plan:
    champion = model_registry.champion(context.home, "toy")
    return make_plan(context, PlanRequest(days=tuple(days), model=champion, who="ann", why="test"))


def backfill(context: Context, found: Plan) -> dict[date, DayOutcome]:
    run = Backfill(context, found, Options(), lambda *_: None, lambda _: None)
    return {outcome.ds: outcome for outcome in run.run()}


def versions(context: Context) -> dict[str, int | None]:
    tables = (EVENTS, QUARANTINE, TILES, FEATURES, "scores", "ledger", "quality", REFUSED)
    return {table: context.warehouse.version(table) for table in tables}


def first_of(kinds: Iterable[str]) -> list[Any]:
    """The first for every run of the tests; several nights each, the others are slow ones."""
    first, *others = kinds
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


@pytest.mark.parametrize("how", first_of(REDELIVERIES))
def test_a_bad_redelivery_of_an_old_day_is_kept_apart_and_told(
    open_published: OpenToy, how: str
) -> None:
    context = open_published()
    before = context.warehouse.commit(EVENTS, BAD)
    with delivered(how):
        result = ingest_events(context, context.definition.stream, DAYS[3:])
        assert {day: type(e) for day, e in result.errors.items()} == {BAD: REDELIVERIES[how]}
        assert context.warehouse.commit(EVENTS, BAD) == before
        # The night itself: nothing of it is stale, and it says what it rests on.
        found = night(context)
        assert (found.status, len(found.notes)) == ("already published", 1)
        said = f"{EVENTS} {BAD}: bad redelivery, earlier version used: "
        assert found.notes[0].startswith(said)
        (day,) = plan(context, [TONIGHT]).days
        assert (day.status, day.reasons) == ("fresh", (f"{EARLIER_USED}: {EVENTS} {BAD}",))
        was = versions(context)
        assert not ingest_events(context, context.definition.stream, DAYS[3:]).written
        assert versions(context) == was, "the same bad file is not read again"
    # The same file as at first is there again: there is nothing to tell any more.
    assert night(context).notes == ()
    assert plan(context, [TONIGHT]).days[0].reasons == ()
    with delivered("another price"):
        assert ingest_events(context, context.definition.stream, DAYS[3:]).written == (BAD,)


@pytest.mark.slow
def test_a_night_over_a_bad_redelivery_is_published_and_its_page_says_look(
    open_toy: OpenToy, caplog: pytest.LogCaptureFixture
) -> None:
    context = open_toy()
    with delivered("header only"):
        result = night(context)
    assert result.status == "published"
    assert f"{EVENTS} {BAD}: bad redelivery, earlier version used: toy: source" in caplog.text
    (note,) = result.notes
    assert current(context, [TONIGHT])[TONIGHT].notes == note
    page = Path(render_report(context, TONIGHT)).read_text(encoding="utf-8")
    assert "Published; look at this" in page
    assert f"Made with {EVENTS} {BAD}: bad redelivery, earlier version used" in page
    of_bad = Path(render_report(context, BAD)).read_text(encoding="utf-8")
    assert "The source was refused: toy: source has no rows" in of_bad


@pytest.mark.parametrize("how", first_of(["unreadable", "bad rows"]))
def test_the_nights_own_bad_source_stops_it_again_and_again_and_changes_nothing(
    open_published: OpenToy, how: str
) -> None:
    context = open_published()
    published = current(context, [TONIGHT])
    with delivered(how, TONIGHT):
        for _ in range(2):
            with pytest.raises(REDELIVERIES[how]):
                night(context, force=True)
        with pytest.raises(REDELIVERIES[how]):
            run_step(context, request(context), "ingest")
        was = versions(context)
        with pytest.raises(REDELIVERIES[how]):
            night(context)
        assert versions(context) == was
    assert current(context, [TONIGHT]) == published
    page = Path(render_report(context, TONIGHT)).read_text(encoding="utf-8")
    assert "The day was delivered again and refused" in page


@pytest.mark.slow
def test_a_backfill_goes_on_with_what_was_there_and_a_second_one_has_nothing_to_do(
    open_toy: OpenToy,
) -> None:
    context = open_toy()
    with delivered("unreadable"):
        outcomes = backfill(context, plan(context))
        assert {outcome.outcome for outcome in outcomes.values()} == {"published"}
        said = f"{EVENTS} {BAD}: bad redelivery, earlier version used: the file of {BAD}"
        assert [day for day in DAYS if outcomes[day].detail.startswith(said)] == DAYS[5:]
        was, again = versions(context), plan(context)
        assert again.to_do == ()
        assert backfill(context, again) == {}
        assert versions(context) == was
    with delivered("another price"):
        mended = plan(context)
        assert mended.to_do == tuple(DAYS[5:])
        # The price is a feature of its own day only: what the later days read holds the same.
        assert {day: o.outcome for day, o in backfill(context, mended).items()} == {
            DAYS[5]: "published",
            DAYS[6]: "already published",
            DAYS[7]: "already published",
        }


@pytest.mark.slow
def test_a_day_that_was_never_good_stops_what_is_made_of_it_and_nothing_else(
    spark: SparkSession, champion_home: Home, home: Home
) -> None:
    shutil.copytree(champion_home.root, home.root)
    shutil.rmtree(home.path("tables"))
    context = Context.open(clicky_definition(), home, spark)
    with delivered("breaks in a task", DAYS[2]):
        lines: list[str] = []
        with pytest.raises(SourceCorrupt, match="the Parquet file is cut short"):
            prepare(context, DAYS[:4], lines.append)
        events = context.warehouse.commits(EVENTS)
        assert sorted(day for _, day, _ in events) == [DAYS[0], DAYS[1], DAYS[3]]
        assert sorted(day for _, day, _ in context.warehouse.commits(FEATURES)) == DAYS[:2]
        found = plan(context, DAYS[:4])
        assert [day.status for day in found.days] == ["missing"] * 2 + ["blocked"] * 2
        for day in found.days[2:]:
            (why,) = day.blocked_by
            said = f"source of {EVENTS} {DAYS[2]}, refused as it is now: toy: the source's rows"
            assert why.startswith(said)
            assert "the Parquet file is cut short" in why
        outcomes = backfill(context, found)
    assert {day: end.outcome for day, end in outcomes.items()} == {
        DAYS[0]: "published",
        DAYS[1]: "published",
    }
    # Another delivery is something else to try.
    assert plan(context, DAYS[:4]).to_do == tuple(DAYS[2:4])


def test_what_cannot_be_written_is_no_fault_of_the_source(
    open_toy: OpenToy, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_toy()

    def full(*_: object, **__: object) -> None:
        raise WriteFailed("toy.quarantine: nothing was written: no space left on device")

    monkeypatch.setattr(ingest_step, "write_outdated", full)
    with delivered("another price"), pytest.raises(WriteFailed, match="no space left"):
        ingest_events(context, context.definition.stream, DAYS[3:])
    assert context.warehouse.version(REFUSED) is None


def test_a_day_that_the_source_no_longer_has_is_used_and_said(open_published: OpenToy) -> None:
    context = open_published()
    with delivered("gone"):
        result = night(context)
        assert result.notes == (f"the source no longer has {BAD}: what it gave is used",)
        assert plan(context, [TONIGHT]).days[0].status == "fresh"


@pytest.mark.slow
def test_a_quarantine_that_is_gone_is_made_again_beside_the_same_events(
    open_published: OpenToy,
) -> None:
    context = open_published()
    events, days = context.warehouse.version(EVENTS), [BAD, TONIGHT]
    shutil.rmtree(context.warehouse.location(QUARANTINE))

    def found() -> list[tuple[str, tuple[str, ...]]]:
        return [(day.status, day.reasons) for day in plan(context, days).days]

    gone = [("stale", (f"late input ({QUARANTINE} {day}: it is gone)",)) for day in days]
    assert found() == gone
    with delivered("gone"):
        assert found()[0] == ("fresh", ()), "nobody can tell any more what it held"
    # A night mends its own day, a backfill each; no event is written, and nothing is published.
    assert night(context).status == "already published"
    assert found() == [gone[0], ("fresh", ())]
    outcomes = backfill(context, plan(context, days))
    assert {day: end.outcome for day, end in outcomes.items()} == {BAD: "already published"}
    assert found() == [("fresh", ())] * 2
    assert context.warehouse.version(EVENTS) == events


@pytest.mark.slow
def test_events_that_are_gone_are_made_again_beside_the_same_quarantine(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=day, user=user, item="i") for day in range(3) for user in ("u", "v")]
    bad = Row(day=0, user="w", item="i", price=-1.0)
    context = Context.open(toy_definition([*rows, bad]), home, spark)
    ingest_events(context, context.definition.stream, DAYS[:2])
    shutil.rmtree(context.warehouse.location(EVENTS))
    assert ingest_events(context, context.definition.stream, DAYS[:3]).written == tuple(DAYS[:3])
    assert context.warehouse.read(QUARANTINE, DAYS[:3]).count() == 1


@pytest.mark.parametrize("how", first_of(["gone", "no fingerprint"]))
def test_an_earlier_version_that_somebody_else_changed_is_not_used(
    open_published: OpenToy, how: str
) -> None:
    context = open_published()
    table = context.warehouse.location(EVENTS)
    context.spark.sql(f"DELETE FROM delta.`{table}` WHERE ds = DATE'{BAD}' AND user = 'u1'")
    published = current(context, [TONIGHT])
    with delivered(how):
        with pytest.raises(REDELIVERIES.get(how, SourceDayMissing)):
            night(context, force=True)
        assert plan(context, [TONIGHT]).days[0].status == "blocked"
    assert current(context, [TONIGHT]) == published


def test_a_history_that_was_never_ingested_is_refused_before_anything_is_done(
    open_published: OpenToy,
) -> None:
    published = open_published()
    home = Home.of(f"{published.home.root}-fresh")
    context = Context.open(published.definition, home, published.spark)
    asked = replace(request(published), ds=DAYS[6])
    wanted = (
        rf"^{EVENTS}: missing ds={DAYS[2]}.*\(4 days\)\. They are the history that ds={DAYS[6]} "
        rf"reads: {DAYS[2]} to {DAYS[5]} were never ingested\. Nothing was done\. Run: "
        rf"nightscore prepare --pipeline toy --from {DAYS[2]} --to {DAYS[5]}$"
    )
    for run in (lambda: run_night(context, asked, lambda *_: None),
                lambda: run_step(context, asked, "ingest")):  # fmt: skip
        with pytest.raises(PartitionNotReady, match=wanted):
            run()
    assert not Path(home.root).exists()


@pytest.mark.slow
def test_a_day_whose_rows_were_known_too_late_says_when_and_what_decides(
    open_published: OpenToy,
) -> None:
    """Planned at 18:00 of the day itself: nobody knew these rows at the midnight before."""
    tomorrow, rows = toy_days(9)[-1], clicky_rows(9)
    late = [replace(row, planned=18.0) if row.day == 8 else row for row in rows]
    context = open_published(clicky_definition(late))
    said = (
        r"toy ds=2026-01-09: there is nothing to score: 60 of 60 events were not known before the "
        r"cut-off, 2026-01-09 00:00 UTC \(cutoff_hours=0\), by the column planned_at: the earliest "
        r"at 2026-01-09 18:00, half of them by 2026-01-09 18:00 UTC\. .* from cutoff_hours=19 on"
    )
    with pytest.raises(NothingKnown, match=said):
        night(context, tomorrow)
    for step in ("features", "check features", "score", "publish"):
        with pytest.raises(NothingKnown, match=said):
            run_step(context, request(context, tomorrow), step)
    with pytest.raises(NothingKnown, match=said):
        prepare(context, [TONIGHT, tomorrow], lambda _: None)
    (day,) = plan(context, [tomorrow]).days
    assert (day.status, plan(context, [*DAYS, tomorrow]).to_do) == ("blocked", ())
    assert "60 of 60 events were not known before the cut-off" in day.blocked_by[0]
    # Delivered again with the right times, it is stale, and done.
    mended = replace(context, definition=clicky_definition(rows))
    assert plan(mended, [tomorrow]).to_do == (tomorrow,)
    assert backfill(mended, plan(mended, [tomorrow]))[tomorrow].outcome == "published"


def test_one_group_of_keys_known_late_is_named_before_the_others(
    spark: SparkSession, home: Home
) -> None:
    rows = [Row(day=0, user=f"u{n}", item="x", planned=float(n - 2)) for n in range(5)]
    context = Context.open(toy_definition(rows), home, spark)
    ingest_events(context, context.definition.stream, DAYS[:1])
    found = known_late(context, DAYS[:1])[DAYS[0]]
    assert (found.rows, found.late, found.column) == (5, 3, "planned_at")
    assert found.typical is not None
    assert found.typical.hour == 0
