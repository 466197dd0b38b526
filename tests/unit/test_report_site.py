"""Promises of the report site: bad nights stand out, nothing is fetched, records come back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from feature_store.definition import Definition
from feature_store.home import Home
from jobs.report import nights, site_files
from jobs.report.calendar import months
from jobs.report.nights import NightRecord, Reason, load, load_of, save, to_renew
from jobs.report.realised import realised
from jobs.report.render import _Site, front_html, index_html, page_html, record_of
from jobs.report.trend import Point, curve_svg, trend_svg, trends
from jobs.report.verdict import judge
from tests.nights import NIGHT, facts, found, labelled, publication, record, scored
from tests.toy import Row, toy_definition

HOSTILE = "<script>alert(1)</script>"
DEFINITION: Definition = toy_definition([Row(day=0, user="u", item="i")])


def a_context(tmp_path: Path, name: str = "toy") -> Any:
    definition = SimpleNamespace(name=name)
    return SimpleNamespace(home=Home.of(tmp_path / "home"), definition=definition)


def text_of(html: str) -> str:
    body = html.partition("<body>")[2]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def index(kept: list[NightRecord], pages: list[date] | None = None) -> str:
    by_day = {night.ds: night for night in kept}
    ledger = [publication(night.ds) for night in kept if night.run_id]
    return index_html(DEFINITION, by_day, pages or list(by_day), ledger)


def judged(days_before: int, **how: Any) -> NightRecord:
    day = NIGHT - timedelta(days=days_before)
    of = facts(ds=day, publications=[publication(day)], labelled=labelled(found(**how)))
    return record_of(of, judge(of))


# What is kept of a night


def test_a_record_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    kept = [
        replace(record(2, found(rows=40), bad_rows=3), level="look",
                reasons=(Reason(text=HOSTILE, weight=85, href="#realised"),)),
        replace(record(1, None), labelled=labelled(None, later=4), unknown=("labels",)),
    ]  # fmt: skip
    for one in kept:
        save(context, one)
    back = load(context)
    assert list(back) == [one.ds for one in kept]
    assert list(back.values()) == kept
    assert list(load_of(context, "toy", newest=1)) == [kept[-1].ds]
    assert load_of(context, "other") == {}


def test_a_number_that_is_not_defined_is_null_in_the_file(tmp_path: Path) -> None:
    context = a_context(tmp_path)
    save(context, record(1, found(rows=1)))
    (file,) = Path(context.home.root, "reports", "toy", "nights").iterdir()
    told = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert told["labelled"]["by_label"]["clicked"]["quality"]["auc"] is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 0}', '{"format": 1, "ds": "x"}'])
def test_a_file_that_is_no_record_is_left_out_and_told(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = a_context(tmp_path)
    save(context, record(1, None))
    place = Path(context.home.root, "reports", "toy", nights.NIGHTS, "2026-03-01.json")
    place.write_text(text, encoding="utf-8")
    assert list(load(context)) == [NIGHT - timedelta(days=1)]
    assert "2026-03-01.json: is no record of a night" in caplog.text


def test_a_night_is_looked_at_again_when_its_run_or_what_tells_its_labels_changed() -> None:
    now = datetime(2026, 3, 12, 5, tzinfo=UTC)
    same, changed, waiting, new = (NIGHT - timedelta(days=d) for d in (4, 3, 2, 1))
    kept = {
        same: record(4, None),
        changed: record(3, None),
        waiting: replace(record(2, None), labelled=labelled(None, later=1)),
    }
    states = {same: "s", changed: "t", waiting: "s", new: "s"}
    assert to_renew(kept, states, now) == [changed, waiting, new]
    assert to_renew(kept, states, now - timedelta(hours=2)) == [changed, new]


def test_a_file_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = a_context(tmp_path)
    place = f"{context.home.root}/reports/toy/x.html"
    site_files.write(context, place, "first")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        site_files.write(context, place, "second")
    assert Path(place).read_text(encoding="utf-8") == "first"
    assert site_files.names(context, f"{context.home.root}/reports/toy") == ["x.html"]


# Calendar, trends and lists


def test_a_calendar_has_every_day_of_its_months_once_monday_first() -> None:
    night = record(1, None)
    (april, march) = months({night.ds: night}, [date(2026, 4, 1)])
    days = [cell.day for week in march.weeks for cell in week if cell]
    assert (march.title, april.title) == ("March 2026", "April 2026")
    assert days == [date(2026, 3, 1) + timedelta(days=i) for i in range(31)]
    assert all(len(week) == 7 for week in march.weeks)
    assert march.weeks[0][6].day.weekday() == 6  # type: ignore[union-attr]
    (of_night,) = [cell for week in march.weeks for cell in week if cell and cell.night]
    assert (of_night.day, of_night.has_page) == (night.ds, False)


def test_a_badly_calibrated_night_stands_out_in_calendar_and_list() -> None:
    html = index([judged(3), judged(2, shift=2.0), judged(1)])
    levels = re.findall(r'<td class="night ([a-z-]+)"><a href="([^"]+)"', html)
    assert levels == [
        ("good", "2026-03-07.html"), ("look", "2026-03-08.html"), ("good", "2026-03-09.html"),
    ]  # fmt: skip
    (small,) = re.findall(r'<small>\s*<span class="over">([\d.]+)</span> / ([\d.]+)', html)
    assert float(small[0]) > float(small[1])
    row = re.search(r'<a href="2026-03-08.html">2026-03-08</a></th>.*?</tr>', html, re.DOTALL)
    assert row
    assert "Logloss" in row[0]
    assert row[0].count(' over"') == 2, "logloss and calibration error"


def test_a_night_without_a_page_has_no_link_and_one_without_a_record_is_not_judged() -> None:
    html = index([replace(judged(2), has_page=False)], pages=[NIGHT])
    assert "2026-03-08.html" not in html
    assert "not judged" in html


def test_the_front_page_is_one_line_per_pipeline() -> None:
    html = front_html({"b": [judged(2), judged(1, shift=2.0)], "a": [judged(1)], "none": []})
    assert re.findall(r'<th scope="row"><a href="([^"]+)"', html) == [
        "a/index.html",
        "b/index.html",
    ]
    lines = html.split('<th scope="row">')[1:]
    assert 'class="level good">good' in lines[0]
    assert 'class="level look">look' in lines[1]
    assert "Logloss" in lines[1]
    assert "No night has a report yet." in front_html({})


def test_no_page_runs_fetches_or_trusts_anything() -> None:
    bad = facts(
        failure=HOSTILE, labelled=labelled(found(shift=2.0)),
        publications=[publication(why=HOSTILE, notes=HOSTILE)],
    )  # fmt: skip
    kept = record_of(bad, judge(bad))
    for html in (page_html(bad), index([kept]), front_html({"toy": [kept]})):
        assert "<script" not in html
        assert "&lt;script&gt;alert(1)" in html
        assert not re.findall(r"(?:src=|url\(|@import|https?:)[^>]*", html)
        hrefs = re.findall(r'href="([^"]*)"', html)
        assert hrefs
        assert all(re.fullmatch(r"(\.\./)?([\w./-]+\.html)?(#[a-z]+)?", href) for href in hrefs)


def test_every_reason_of_a_page_leads_to_a_section_that_is_there() -> None:
    html = page_html(facts(labelled=labelled(found(shift=2.0)), failure="x"))
    ids = set(re.findall(r'id="([a-z]+)"', html))
    anchors = set(re.findall(r'href="#([a-z]+)"', html))
    assert {"realised", "publications"} <= anchors <= ids
    assert 'id="trend"' in index([judged(1)])


def test_a_page_shows_the_calibration_curve_and_the_segments() -> None:
    labels, scores = scored(4)
    column = np.where(np.arange(900) % 3 == 0, HOSTILE, "EV").astype(object)
    column[:40] = None
    one = realised(labels, scores, {"carrier": column})
    html = page_html(facts(labelled=labelled(one)))
    assert html.count('<circle class="dot"') == 15
    assert [s.value for s in one.segments] == ["EV", HOSTILE, "(none)"]
    assert "carrier = EV" in text_of(html)
    assert "<script" not in html


def test_a_night_without_labels_says_so() -> None:
    assert "No label of a published score is known yet." in text_of(page_html(facts()))


def test_trends_have_a_dot_a_night_in_the_colour_of_its_verdict() -> None:
    charts = trends([judged(2), judged(1, shift=2.0), record(0, None)], "clicked", 0.05)
    assert [title for title, _, _ in charts] == ["Logloss", "Calibration error", "AUC"]
    for _, _, svg in charts:
        assert re.findall(r'<circle class="night (\w+)"', svg) == ["good", "look"]
    assert charts[0][2].count('class="base"') == 2
    assert trends([], "clicked", 0.05)[0][2] == ""


@pytest.mark.parametrize(
    "values", [[0.5], [0.0, 0.0], [1e-6, 2e-6], [0.2, 15.0], [float("nan"), 0.3], [0.1] * 40]
)
def test_a_trend_is_drawn_of_whatever_there_is(values: list[float]) -> None:
    points = [
        Point(ds=NIGHT + timedelta(days=i), value=value, level="not run", against=0.4)
        for i, value in enumerate(values)
    ]
    svg = trend_svg("AUC", points, line=0.5)
    numbers = [float(n) for n in re.findall(r'(?:cx|cy|[xy][12]?)="(-?[\d.]+)"', svg)]
    assert numbers
    assert all(-1 <= n <= 721 for n in numbers), (values, min(numbers), max(numbers))
    assert svg.count("<circle") == sum(value == value for value in values)


def test_a_curve_of_one_bin_and_of_none_is_drawn() -> None:
    assert curve_svg((), "x") == ""
    assert curve_svg(found(rows=1).curve, "x").count("<circle") == 1


def test_what_an_attempt_failed_with_is_remembered_until_something_else_is_published(
    tmp_path: Path,
) -> None:
    kept = {NIGHT: replace(record(0, None), failure="no space left")}
    same = _Site(context=a_context(tmp_path), ledger=[publication()], kept=kept)
    assert same.failure_of(NIGHT) == "no space left"
    other = replace(same, ledger=[publication(), publication(run_id="again", sequence=2)])
    assert other.failure_of(NIGHT) == ""
    assert same.failure_of(NIGHT - timedelta(days=1)) == ""
