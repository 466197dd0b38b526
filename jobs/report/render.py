"""The page of one night: can its scores be trusted? Static HTML, nothing fetched, nothing run.

A page is never an input to a step, so it may look at the tables as they are now.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from feature_store.schema import EVENTS, FEATURES, QUARANTINE, SCORES, TILES
from feature_store.tables.inputs import Inputs, Pin, pack
from feature_store.text import bytes_text, score_text, visible
from jobs.night.ledger import history
from jobs.night.side_days import ABSENT
from jobs.report.bands import gate_limits
from jobs.report.calendar import months
from jobs.report.chart import histogram_svg
from jobs.report.facts import NightFacts, labelled_metrics, ledger_facts, read_facts
from jobs.report.nights import NightRecord, load, load_of, newest, save
from jobs.report.realised import Quality
from jobs.report.renew import newly_labelled
from jobs.report.site_files import REPORTS, names, write
from jobs.report.trend import curve_svg, trends
from jobs.report.verdict import judge, published_checks, realised_faults
from jobs.version import code_version

if TYPE_CHECKING:
    from feature_store.definition import Definition
    from jobs.context import Context
    from jobs.night.ledger import Publication
    from jobs.report.nights import Labelled
    from jobs.report.verdict import Verdict

__all__ = ["labelled_metrics", "render_report"]

log = logging.getLogger(__name__)

NIGHTS_ON_FRONT_PAGE = 14
_TEMPLATES = Path(__file__).with_name("templates")
_TABLES = (EVENTS, QUARANTINE, TILES, FEATURES, SCORES)


def render_report(context: Context, ds: date, failure: str = "") -> str:
    """Write the page of a night and what leads to it; return the page's path.

    Those are the pipeline's calendar, the front page, and the pages of nights before whose labels
    came to be known since they were written.

    Args:
        context: the pipeline.
        ds: the night, published or not.
        failure: what its latest attempt ended with, where it just failed.
    """
    return render_with_verdict(context, ds, failure)[0]


def render_with_verdict(
    context: Context, ds: date, failure: str | None = None
) -> tuple[str, Verdict]:
    """Write what `render_report` does; return the page's path and what it says first.

    Args:
        context: the pipeline.
        ds: the night, published or not.
        failure: what its latest attempt ended with, empty if it did not fail; None: what was said
            of it when the page was last written.
    """
    with context.warehouse.held():
        site = _Site(context=context, ledger=history(context), kept=load(context))
        columns = context.definition.gate.segments
        labelled = newly_labelled(context, site.ledger, site.kept, ds, columns)
        before = {day: found for day, found in sorted(labelled.items()) if day != ds}
        for day, found in before.items():
            site.learn(day, found)  # the verdict on this night rests on them
        known = site.failure_of(ds) if failure is None else failure
        page, verdict = site.night(ds, labelled.get(ds), known)
        site.write_again(before)
        site.indexes()
    return page, verdict


@dataclass(kw_only=True)
class _Site:
    """The pages of a pipeline, being written from one look at its tables."""

    context: Context
    ledger: Sequence[Publication]
    kept: dict[date, NightRecord]

    def night(self, ds: date, labelled: Labelled | None, failure: str = "") -> tuple[str, Verdict]:
        """Write the page of a night and its record; return the page's path and the verdict."""
        context, name = self.context, self.context.definition.name
        facts = read_facts(
            context, ds, failure, ledger=self.ledger, kept=self.kept, labelled=labelled
        )
        verdict = judge(facts)
        page = context.home.path(REPORTS, name, f"{ds.isoformat()}.html")
        write(context, page, page_html(facts))
        self._keep(record_of(facts, verdict))
        log.info("step=report pipeline=%s ds=%s path=%s level=%s", name, ds, page, verdict.level)
        return page, verdict

    def failure_of(self, day: date) -> str:
        """Return what the latest attempt at a night failed with, if nothing was published since."""
        kept = self.kept.get(day)
        run_id = next((p.run_id for p in reversed(self.ledger) if p.ds == day), "")
        return kept.failure if kept is not None and kept.run_id == run_id else ""

    def learn(self, day: date, labelled: Labelled) -> None:
        """Know of a published night what its labels and the ledger say; nothing is written."""
        facts = ledger_facts(self.context, day, self.ledger, self.kept, labelled)
        failure = self.failure_of(day)
        self.kept[day] = record_of(replace(facts, failure=failure), judge(facts), has_page=False)

    def write_again(self, labelled: Mapping[date, Labelled]) -> None:
        """Write the pages anew whose labels came to be known, and keep what is known of others."""
        pages = self._pages()
        for day, found in labelled.items():
            if day in pages:
                self.night(day, found, self.failure_of(day))
            else:
                self._keep(self.kept[day])

    def indexes(self) -> None:
        """Write the pipeline's calendar and the front page of all pipelines."""
        context, name = self.context, self.context.definition.name
        text = index_html(context.definition, self.kept, self._pages(), self.ledger)
        write(context, context.home.path(REPORTS, name, "index.html"), text)
        write(context, context.home.path(REPORTS, "index.html"), front_html(_newest(context)))

    def _keep(self, record: NightRecord) -> None:
        save(self.context, record)
        self.kept[record.ds] = record

    def _pages(self) -> set[date]:
        """Return the days that have a page."""
        place = self.context.home.path(REPORTS, self.context.definition.name)
        days = [n.removesuffix(".html") for n in names(self.context, place) if n.endswith(".html")]
        return {date.fromisoformat(day) for day in days if day[:1].isdigit()}


def record_of(facts: NightFacts, verdict: Verdict, *, has_page: bool = True) -> NightRecord:
    """Return what is kept of a night beside its page."""
    p = facts.published
    unread = f"Run: nightscore report --pipeline {facts.definition.name} --ds {facts.ds}"
    no_page = f"Drift, quarantine and checks that only warn: no page is written. {unread}"
    return NightRecord(
        ds=facts.ds,
        level=verdict.level,
        title=verdict.title,
        reasons=verdict.because,
        unknown=verdict.unknown if has_page else (*verdict.unknown, no_page),
        labelled=facts.labelled,
        run_id=p.run_id if p else "",
        model_name=p.model_name if p else "",
        model_version=p.model_version if p else 0,
        rows=p.rows if p else 0,
        read_rows=facts.read_rows,
        bad_rows=facts.bad_rows,
        failure=facts.failure,
        has_page=has_page,
    )


def page_html(facts: NightFacts) -> str:
    """Return the page of a night."""
    return _environment().get_template("report.html").render(
        facts=facts,
        verdict=judge(facts),
        flow=_flow(facts),
        commits=[facts.commits[table] for table in _TABLES if table in facts.commits],
        pins=_pins(facts),
        proven=published_checks,
        charts={
            one.label: Markup(histogram_svg(one.day, one.before))  # noqa: S704 - made of numbers
            for one in facts.scores
        },
        curves={
            label: Markup(curve_svg(found.curve, label))  # noqa: S704 - made of numbers
            for label, found in facts.labelled.by_label.items()
        },
        faults=realised_faults(facts),
        now=datetime.now(UTC),
        code=code_version(),
    )  # fmt: skip


def _flow(facts: NightFacts) -> list[tuple[str, int | None, str]]:
    """Return the rows along the way: what, how many, and what became of the others."""
    rows = {table: commit.rows for table, commit in facts.commits.items()}
    kept, bad = rows.get(EVENTS), rows.get(QUARANTINE, 0)
    read = None if kept is None and not bad else (kept or 0) + bad
    late = (kept or 0) - rows.get(FEATURES, kept or 0)
    return [
        ("read from the source", read, "rows of the same content count once"),
        ("quarantined", bad if read is not None else None, _reasons(facts)),
        ("events", kept, "clean, typed, one per key"),
        ("features", rows.get(FEATURES), f"{late:,} not known before the cut-off" if late else ""),
        ("scored", rows.get(SCORES), f"run {facts.run_id}" if facts.run_id else ""),
        ("published", facts.published.rows if facts.published else 0, ""),
    ]


def _reasons(facts: NightFacts) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in list(facts.reasons.items())[:6])


def _pins(facts: NightFacts) -> list[tuple[str, str, str]]:
    """Return what the scores were made of: (made, of which table, days and versions)."""
    found = []
    for table in (SCORES, FEATURES):
        commit = facts.commits.get(table)
        inputs = commit.inputs if commit else None
        if table == SCORES and facts.published is not None:
            inputs = Inputs.from_json(facts.published.inputs)
        for source, pins in (inputs.pins if inputs else {}).items():
            found.append((table, source, _versions(pins)))
    source = facts.commits[EVENTS].inputs.source if EVENTS in facts.commits else ""
    return [*found, (EVENTS, "source", source)] if source else found


def _versions(pins: Iterable[Pin]) -> str:
    return "; ".join(
        f"{first} to {last}: {_version(version)}"
        if first != last
        else f"{first}: {_version(version)}"
        for first, last, version, *_ in pack(pins)
    )


def _version(version: int) -> str:
    return "not there" if version == ABSENT else f"version {version}"


def index_html(
    definition: Definition,
    nights: Mapping[date, NightRecord],
    pages: Collection[date],
    ledger: Sequence[Publication],
) -> str:
    """Return the page of a pipeline: its nights as a calendar, trends, and a list."""
    published = {p.ds: p for p in ledger}
    ordered = [nights[day] for day in sorted(nights)]
    labels = definition.label_names
    return _environment().get_template("index.html").render(
        definition=definition,
        labels=labels,
        months=months(nights, pages),
        newest=newest(ordered),
        last_labelled=_last_labelled(ordered),
        trends=[
            (label, [
                (title, legend, Markup(svg))  # noqa: S704 - made of numbers and days
                for title, legend, svg in trends(
                    ordered, label, gate_limits(definition.gate, label).max_ece
                )
                if svg
            ])
            for label in labels
        ],
        days=[
            (day, day in pages, nights.get(day), published.get(day))
            for day in sorted({*pages, *nights}, reverse=True)
        ],
        now=datetime.now(UTC),
        code=code_version(),
    )  # fmt: skip


def front_html(pipelines: Mapping[str, Sequence[NightRecord]]) -> str:
    """Return the front page: one line of each pipeline, from the records of its last nights."""
    lines = [
        (name, max(nights, key=lambda night: night.ds), _last_labelled(nights), nights)
        for name, nights in sorted(pipelines.items())
        if nights
    ]
    return _environment().get_template("front.html").render(
        lines=lines, now=datetime.now(UTC), code=code_version()
    )  # fmt: skip


def _last_labelled(nights: Sequence[NightRecord]) -> NightRecord | None:
    return newest([night for night in nights if night.labelled.is_whole])


def _newest(context: Context) -> dict[str, list[NightRecord]]:
    """Return the last nights of every pipeline that has a folder of reports."""
    place = context.home.path(REPORTS)
    folders = [name for name in names(context, place) if name.isidentifier()]
    return {
        name: list(load_of(context, name, newest=NIGHTS_ON_FRONT_PAGE).values()) for name in folders
    }


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_inert,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["bytes"] = bytes_text
    environment.filters["score"] = score_text
    environment.filters["number"] = _number
    environment.filters["cls"] = lambda level: level.replace(" ", "-")
    environment.globals["is_worse"] = _is_worse
    return environment


def _inert(value: object) -> object:
    """Return text from the data so that none of it acts, as marks of writing direction do."""
    return visible(value) if type(value) is str else value


def _number(value: float, digits: int = 3) -> str:
    """Return a number as people read it; a dash where it is not defined."""
    return "–" if isnan(value) else f"{value:.{digits}f}"


def _is_worse(quality: Quality) -> bool:
    """Whether scores lose by the base rate, be it by chance: for a mark beside the numbers."""
    return quality.excess > 0
