"""Promises of the report: it says first whether to trust the scores, and it is safe to open."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from feature_store.definition import Check
from feature_store.errors import CheckFailed
from feature_store.home import Home
from feature_store.schema import DS, FEATURES, RUN_ID, SCORES
from jobs.context import Context
from jobs.night.ledger import Publication, current, history
from jobs.night.prepare import prepare
from jobs.night.publish import StagedRun, publish, rollback
from jobs.night.quality import check_features, check_scores, record, require_passed
from jobs.night.score import plan_run
from jobs.registry.model_registry import ModelRef
from jobs.report.chart import histogram_svg
from jobs.report.facts import FINE_BINS, DayScores
from jobs.report.render import labelled_metrics, render_report
from tests.toy import EVENTS, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = toy_days(4)
NIGHT, UNTOUCHED = DAYS[2], DAYS[3]
USERS = 20


def rows() -> list[Row]:
    """20 rows a day, every third clicked; the last of each day has no label; one bad row."""
    good = [
        Row(
            day=day, user=f"u{user:02}", item="x", price=1.0, click_known=20.0,
            clicked=None if user == USERS - 1 else user % 3 == 0,
        )
        for day in range(4)
        for user in range(USERS)
    ]  # fmt: skip
    return [*good, Row(day=2, user="bad", item="x", price=-1.0)]


def model(version: int) -> ModelRef:
    return ModelRef(
        pipeline="toy", version=version, model="lr", path="", digest=f"{version}" * 64,
        metrics={}, aliases=(),
    )  # fmt: skip


def publish_scores(
    context: Context, day: date, version: int = 1, why: str = "nightly", shift: float = 0.0
) -> str:
    """Publish scores that know the label: .7 + shift for a click, else .2 + shift."""
    run = plan_run(context, day, model(version))
    features = context.warehouse.read(FEATURES, [day])
    events = context.warehouse.read(EVENTS, [day]).select("user", "clicked")
    score = (F.when(F.col("clicked"), 0.7).otherwise(0.2) + shift).cast("float")
    scored = features.join(events, "user").select(DS, "user", "item", score.alias("score"))
    key = (day, run.run_id)
    written = context.warehouse.replace_runs(
        SCORES, scored.withColumn(RUN_ID, F.lit(run.run_id)), {key: run.inputs}
    )
    features = check_features(context, [day])
    scores = check_scores(context, {day: run.run_id})
    record(context, {(day, "features"): features[day], (day, "scores"): scores[day]})
    checked = (
        require_passed(context, "features", day, features),
        require_passed(context, "scores", day, scores),
    )
    before = current(context, [day]).get(day)
    fence = before.sequence if before else 0
    staged = StagedRun(run=run, rows=written[key].rows, fence=fence, checked=checked)
    publish(context, [staged], who="ann", why=why)
    return run.run_id


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Three nights published; the fourth has features only."""
    home = Home.of(tmp_path_factory.mktemp("report") / "home")
    context = Context.open(toy_definition(rows()), home, spark)
    prepare(context, DAYS, lambda _: None)
    for day in DAYS[:3]:
        publish_scores(context, day, why="<script>alert(1)</script>")
    return context


@pytest.fixture
def context(published: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A copy of that home."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(published.home.root, tmp_path / "home")
    return Context.open(published.definition, Home.of(tmp_path / "home"), published.spark)


def text_of(page: str) -> str:
    """A page as one line of plain text."""
    html = Path(page).read_text(encoding="utf-8")
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_a_published_night_says_so_first_and_shows_the_rows_along_the_way(
    context: Context,
) -> None:
    page = render_report(context, NIGHT)
    assert page == f"{context.home.root}/reports/toy/2026-01-03.html"
    text = text_of(page)
    assert "Night of 2026-01-03 Published 20 scores of run" in text
    assert "All 4 checks passed." in text
    for line in (
        "read from the source 21", "quarantined 1 range(price) 1", "events 20", "features 20",
        "scored 20", "published 20",
    ):  # fmt: skip
        assert line in text
    assert "the 2 published days before" in text
    assert "AUC 1.0000" in text
    assert f"Bundle digest {'1' * 64}" in text
    assert f"features from {EVENTS} 2026-01-03: version 0" in text


def test_a_page_runs_nothing_fetches_nothing_and_trusts_no_text(context: Context) -> None:
    html = Path(render_report(context, NIGHT)).read_text(encoding="utf-8")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.findall(r"(?:src|url\(|@import|http)[^>]*", html)
    hrefs = re.findall(r'href="([^"]*)"', html)
    assert hrefs[0] == "index.html"
    assert all(re.fullmatch(r"#[a-z]+", href) for href in hrefs[1:])
    assert not list(Path(context.home.root, "reports", "toy").glob(".*"))


def test_a_failed_night_has_a_page_that_names_the_check(context: Context) -> None:
    strict = Check(stage="features", kind="between", columns=("price",), minimum=2)
    definition = changed(context.definition, checks=(*context.definition.checks, strict))
    failing = replace(context, definition=definition)
    results = check_features(failing, [UNTOUCHED])
    record(failing, {(UNTOUCHED, "features"): results[UNTOUCHED]})
    with pytest.raises(CheckFailed) as failed:
        require_passed(failing, "features", UNTOUCHED, results)
    text = text_of(render_report(failing, UNTOUCHED, failure=str(failed.value)))
    assert "Blocked: nothing is published 1 of 3 checks failed: between(price) of features" in text
    assert "20 of 20" in text
    assert "published 0" in text
    assert "Nothing of this day was ever published." in text


def test_a_night_that_never_ran_says_what_to_run(context: Context) -> None:
    text = text_of(render_report(context, UNTOUCHED))
    assert "Not published Features are ready. Run: nightscore run --pipeline toy" in text


@pytest.mark.slow
def test_what_makes_published_scores_doubtful_is_said_first(context: Context) -> None:
    first = current(context, [NIGHT])[NIGHT].run_id
    second = publish_scores(context, NIGHT, version=2, shift=0.25)
    text = text_of(render_report(context, NIGHT))
    assert "Published; look at this The scores lie elsewhere than in the days before" in text
    assert text.index(second) < text.index(first)

    rollback(context, NIGHT, who="bob", why="wrong model")
    text = text_of(render_report(context, NIGHT))
    assert f"Run {first} was published again by bob (wrong model)." in text
    text = text_of(render_report(context, NIGHT, failure="toy: no space left on device"))
    assert "The latest attempt failed; these scores are from before it: toy: no space" in text


def test_the_index_lists_the_pages_newest_first(context: Context) -> None:
    for day in (DAYS[0], UNTOUCHED, NIGHT):
        render_report(context, day)
    html = Path(context.home.root, "reports", "toy", "index.html").read_text(encoding="utf-8")
    listed = re.findall(r'<th scope="row"><a href="([^"]*)\.html"', html)
    assert listed == ["2026-01-04", "2026-01-03", "2026-01-01"]


def test_a_page_is_made_from_one_look_at_the_ledger(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []

    def look(*arguments: object) -> Sequence[Publication]:
        looks.append(arguments)
        return history(*arguments)  # type: ignore[arg-type]

    for module in ("facts", "render", "verdict"):
        monkeypatch.setattr(f"jobs.report.{module}.history", look, raising=False)
    render_report(context, NIGHT)
    assert looks == [(context,)]


def test_metrics_are_of_the_published_rows_whose_label_is_known(context: Context) -> None:
    found = labelled_metrics(context, NIGHT)["clicked"]
    assert (found["rows"], found["auc"], found["sampled"]) == (USERS - 1, 1.0, False)
    assert found["base_rate"] == pytest.approx(7 / 19)
    assert labelled_metrics(context, UNTOUCHED) == {}


def test_a_page_is_written_anew_when_labels_of_its_night_come_to_be_known(
    context: Context,
) -> None:
    """The labels are delivered after the night's page was written, with the next night."""
    folder = Path(context.home.root, "reports", "toy")
    late = [
        replace(row, clicked=None) if row.day == 1 and row.user != "u00" else row for row in rows()
    ]
    before = Context.open(toy_definition(late), context.home, context.spark)
    prepare(before, [DAYS[1]], lambda _: None)
    publish_scores(before, DAYS[1], version=2, why="labels are missing")
    page = Path(render_report(before, DAYS[1]))
    assert "on 1 published scores" in text_of(str(page))

    # What came true is delivered, and is the opposite of what was said.
    opposite = [
        replace(row, clicked=int(row.user[1:]) % 3 != 0) if row.day == 1 else row for row in rows()
    ]
    after = Context.open(toy_definition(opposite), context.home, context.spark)
    prepare(after, [DAYS[1]], lambda _: None)
    render_report(after, NIGHT)
    assert "on 20 published scores" in text_of(str(page))
    kept = json.loads((folder / "nights" / f"{DAYS[1]}.json").read_text(encoding="utf-8"))
    assert kept["labelled"]["by_label"]["clicked"]["quality"]["rows"] == 20
    assert kept["has_page"]
    # The first night has no page: it is in the calendar all the same.
    first = json.loads((folder / "nights" / f"{DAYS[0]}.json").read_text(encoding="utf-8"))
    assert not first["has_page"]
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert f"{DAYS[0]}.html" not in index
    assert 'href="toy/index.html"' in (folder.parent / "index.html").read_text(encoding="utf-8")


def test_labels_known_later_are_counted_and_judge_nothing_yet(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evening(datetime):
        """An hour before the clicks of the night become known."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 3, 19, tzinfo=tz)

    monkeypatch.setattr("jobs.report.labelled.datetime", Evening)
    text = text_of(render_report(context, NIGHT))
    assert "19 labels of this night become known later, the first at 2026-01-03 20:00" in text
    assert "No label of a published score is known yet." in text


def histogram(day: int, counts: dict[int, int]) -> DayScores:
    every = tuple(counts.get(i, 0) for i in range(FINE_BINS))
    return DayScores(ds=DAYS[day], run_id="r", mean=0.5, counts=every, odds=())


@pytest.mark.parametrize(
    ("day", "before"),
    [
        (histogram(1, {0: 5, 199: 5}), [histogram(0, {10: 3})]),
        (histogram(1, {20: 7}), []),
        (None, [histogram(0, {40: 3, 41: 1})]),
        (histogram(1, {}), []),
        (None, []),
    ],
)
def test_a_chart_is_drawn_of_whatever_there_is(
    day: DayScores | None, before: Sequence[DayScores]
) -> None:
    svg = histogram_svg(day, before)
    assert ("<rect" in svg) == bool(day and day.rows)
    assert ("<polyline" in svg) == bool(before)
    numbers = [float(n) for n in re.findall(r'[xy]="(-?[\d.]+)"', svg)]
    assert all(0 <= n <= 720 for n in numbers)


def test_quantiles_are_read_off_the_histogram() -> None:
    day = histogram(0, {20: 50, 60: 40, 100: 10})
    assert day.quantile(0.5) == pytest.approx(20.5 / FINE_BINS)
    assert day.quantile(0.9) == pytest.approx(60.5 / FINE_BINS)
    assert day.rows == 100
