"""A long step is seen to move, on a terminal and in a log."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from jobs.cli import pulse
from jobs.cli.progress import Progress
from jobs.cli.pulse import Work, beat


def looks(ended: threading.Event, *found: Work | None) -> Iterator[Work | None]:
    yield from found[:-1]
    ended.set()
    yield found[-1]


def test_a_log_gets_a_line_for_what_is_at_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulse, "PIPE_SECONDS", 0.001)
    ended, progress = threading.Event(), Progress()
    progress.expect("prepare")
    progress.last_line -= 1.0
    seen = looks(ended, Work(stages=1, done=3, tasks=8), Work(stages=2, done=8, tasks=9), None)
    beat(lambda: next(seen), progress, ended)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "prepare, 0 s so far: 3 of 8 tasks of 1 stage"
    assert len(lines) >= 2


def test_a_log_that_hears_enough_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, progress = threading.Event(), Progress()
    monkeypatch.setattr(ended, "wait", lambda _: ended.is_set())
    progress.note("events: 3 days written")
    seen = looks(ended, Work(stages=1, done=3, tasks=8), None)
    beat(lambda: next(seen), progress, ended)
    assert capsys.readouterr().err == "events: 3 days written\n"


def test_a_spark_that_is_gone_ends_it_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pulse, "PIPE_SECONDS", 0.001)

    def gone() -> Work:
        raise ConnectionRefusedError

    beat(gone, Progress(), threading.Event())
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_it_beside_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "TERMINAL_SECONDS", 0.001)
    ended, progress = threading.Event(), Progress()
    progress._start()
    assert progress._live is not None
    progress.expect("prepare")
    seen = looks(ended, Work(stages=1, done=3, tasks=8), Work(stages=1, done=4, tasks=8))
    beat(lambda: next(seen), progress, ended)
    assert progress._live.tasks[0].description == "prepare: 4 of 8 tasks of 1 stage"
    progress.close()
