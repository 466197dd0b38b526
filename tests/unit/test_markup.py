"""Data are never markup: no command's output, no page and no log line obeys what a key says."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from feature_store.text import visible
from jobs.cli import logs
from jobs.cli.errors import say
from jobs.cli.output import json_text, print_line, print_table
from jobs.cli.progress import Progress
from jobs.machine import doctor

if TYPE_CHECKING:
    from collections.abc import Callable

NASTY = (
    "size[xl]",
    "[bold]x",
    "[/end]",
    ":smile:",
    "[link=https://x.example]y[/link]",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b2J",
    "a\rb",
    "a\nnightscore: published",
    "\u202egpj.exe",
    "a\u200bb",
    "<b>&amp;",
    "{{ 7*7 }}",
    "%s %(x)s {0}",
    "\ud800",
)
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ud800-\udfff]")


def in_progress(text: str) -> None:
    with Progress() as progress:
        progress.note(text)


def in_a_live_progress(text: str) -> None:
    """As on a terminal, without its colours."""
    progress = Progress()
    progress._start()
    assert progress._console is not None
    progress._console.file = sys.stderr
    progress._now(text)
    progress.note(text)
    progress.close()


def in_the_log(text: str) -> None:
    logs.configure()
    logging.getLogger("jobs").warning("key=%s", text)


def from_the_doctor(text: str) -> None:
    found = doctor.CheckResult(name=text, status="ok", found=text, remedy=text)
    doctor.render([found], Console(file=sys.stdout, width=400))


WAYS: dict[str, Callable[[str], None]] = {
    "line": print_line,
    "title and cell": lambda text: print_table((text,), [(text,)]),
    "error": say,
    "progress": in_progress,
    "live progress": in_a_live_progress,
    "log": in_the_log,
    "doctor": from_the_doctor,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_what_is_shown_is_the_text_itself(
    way: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    WAYS[way](text)
    captured = capsys.readouterr()
    shown = captured.out + captured.err
    if way == "live progress":  # its own line is drawn with escapes; what stays is the text
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "")
    assert visible(text) in shown
    assert OBEYED.search(shown) is None


@given(st.text())
def test_visible_text_is_one_line_that_nothing_obeys(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert text != shown or text.isprintable()


@given(
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
)
def test_json_is_one_line_that_no_terminal_obeys_and_gives_the_same_back(
    found: dict[str, str],
) -> None:
    text = json_text(found)
    assert json.loads(text) == found
    assert len(text.splitlines()) == 1
    assert re.search(r"[\x00-\x1f\x7f-\x9f]", text) is None


def test_json_is_ascii_where_stdout_cannot_encode_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert json_text({"key": "Léa"}) == '{"key": "L\\u00e9a"}'


def test_a_table_lines_up_and_cuts_nothing_off(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("key", "rows"), [("日本", 1), ("x" * 200, 20)], right=("rows",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "key".ljust(200) + "  rows"
    assert lines[1] == "日本" + " " * 196 + "     1"
    assert lines[2] == "x" * 200 + "    20"


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_a_page_shows_the_text_itself(text: str) -> None:
    from html import unescape

    from jobs.report.render import front_html, index_html, page_html, record_of
    from jobs.report.verdict import judge
    from tests.nights import NIGHT, facts, publication
    from tests.toy import changed, clicky_definition

    definition = changed(clicky_definition(), description=text)
    published = publication(run_id=text, model_name=text, who=text, why=text, notes=text)
    found = facts(definition, failure=text, publications=[published])
    night = record_of(found, judge(found))
    for page, times in (
        (page_html(found), 8),
        (index_html(definition, {NIGHT: night}, [NIGHT], [published]), 4),
        (front_html({"toy": [night]}), 1),
    ):
        assert page.count("<b>") == 0
        assert OBEYED.search(page) is None
        assert unescape(page).count(visible(text)) >= times
