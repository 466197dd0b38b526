"""The page of one night: can its scores be trusted? Static HTML, nothing fetched, nothing run.

A page is never an input to a step, so it may look at the tables as they are now.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from feature_store.schema import EVENTS, FEATURES, QUARANTINE, SCORES, TILES
from feature_store.tables.inputs import Inputs, Pin, pack
from feature_store.text import bytes_text, score_text, visible
from jobs.night.side_days import ABSENT
from jobs.report.chart import histogram_svg
from jobs.report.facts import NightFacts, labelled_metrics, read_facts
from jobs.report.verdict import judge, published_checks
from jobs.version import code_version

if TYPE_CHECKING:
    from jobs.context import Context
    from jobs.report.verdict import Verdict

__all__ = ["labelled_metrics", "render_report"]

log = logging.getLogger(__name__)

REPORTS = "reports"
_TEMPLATES = Path(__file__).with_name("templates")
_TABLES = (EVENTS, QUARANTINE, TILES, FEATURES, SCORES)


def render_report(context: Context, ds: date, failure: str = "") -> str:
    """Write the page of a night and the pipeline's index; return the page's path.

    Args:
        context: the pipeline.
        ds: the night, published or not.
        failure: what its latest attempt ended with, where it just failed.
    """
    return render_with_verdict(context, ds, failure)[0]


def render_with_verdict(context: Context, ds: date, failure: str = "") -> tuple[str, Verdict]:
    """Write what `render_report` does; return the page's path and what it says first."""
    facts = read_facts(context, ds, failure)
    name = context.definition.name
    page = context.home.path(REPORTS, name, f"{ds.isoformat()}.html")
    _write(context, page, page_html(facts))
    _write(context, context.home.path(REPORTS, name, "index.html"), _index_html(context, facts))
    log.info("step=report pipeline=%s ds=%s path=%s", name, ds, page)
    return page, judge(facts)


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


def _index_html(context: Context, facts: NightFacts) -> str:
    """Return the list of the pipeline's pages, newest day first."""
    published = {p.ds.isoformat(): p for p in facts.ledger}
    pages = sorted(_pages(context), reverse=True)
    return _environment().get_template("index.html").render(
        definition=context.definition,
        days=[(day, published.get(day)) for day in pages],
        now=datetime.now(UTC),
        code=code_version(),
    )  # fmt: skip


def _pages(context: Context) -> list[str]:
    """Return the days that have a page."""
    place = context.home.path(REPORTS, context.definition.name)
    if context.home.is_local:
        names = [path.name for path in Path(place).glob("*.html")]
    else:
        file_system, path = _remote(context, place)
        names = [f.getPath().getName() for f in file_system.listStatus(path)]
    return [n.removesuffix(".html") for n in names if n[:1].isdigit() and n.endswith(".html")]


def _write(context: Context, place: str, text: str) -> None:
    """Write a file whole or not at all."""
    if not context.home.is_local:
        file_system, path = _remote(context, place)
        stream = file_system.create(path, True)  # an object appears when it is closed
        stream.write(bytearray(text.encode()))
        stream.close()
        return
    target = Path(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        made.write_text(text, encoding="utf-8")
        os.replace(made, target)
    finally:
        made.unlink(missing_ok=True)


def _remote(context: Context, place: str) -> tuple[Any, Any]:
    jvm: Any = context.spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(place)
    session: Any = context.spark._jsparkSession
    return path.getFileSystem(session.sessionState().newHadoopConf()), path


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
    return environment


def _inert(value: object) -> object:
    """Return text from the data so that none of it acts, as marks of writing direction do."""
    return visible(value) if type(value) is str else value
