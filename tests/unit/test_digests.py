"""A file is hashed once, and again whenever it may have changed."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from pathlib import Path

import pytest

from feature_store.errors import SourceCorrupt
from feature_store.sources import digests
from feature_store.sources.digests import content_digest, content_digests


@pytest.fixture(autouse=True)
def reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """An empty cache; the list grows by each file that is read."""
    monkeypatch.setenv("NIGHTSCORE_SOURCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_remembered", {})
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1.0)
    found: list[Path] = []
    read = digests.file_digest
    monkeypatch.setattr(digests, "file_digest", lambda path: (found.append(path), read(path))[1])
    return found


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process begins with."""
    monkeypatch.setattr(digests, "_remembered", {})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once_by_all_processes(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{n}" for n in range(1_200)]
    for n, path in enumerate(paths):
        path.write_bytes(b"%d" % n)
    expected = {path: sha256(b"%d" % n) for n, path in enumerate(paths)}
    assert content_digests(paths) == expected
    forget(monkeypatch)
    assert content_digests(paths) == expected
    assert sorted(reads) == sorted(paths)


def test_a_change_that_keeps_size_and_time_is_seen(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    stat = path.stat()
    assert content_digest(path) == sha256(b"one")
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_digest(path) == sha256(b"two")
    # Another file moved in its place, older than the first.
    other = tmp_path / "y"
    other.write_bytes(b"six")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    forget(monkeypatch)
    assert content_digest(path) == sha256(b"six")
    assert len(reads) == 3


def test_a_file_that_has_just_changed_is_not_remembered(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 60.0)
    content_digest(path)
    content_digest(path)
    assert len(reads) == 2
    later = time.time() + 61
    monkeypatch.setattr(digests.time, "time", lambda: later)
    content_digest(path)
    content_digest(path)
    assert len(reads) == 3


def test_a_file_that_changes_while_it_is_read_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")

    def grow(path: Path) -> str:
        with path.open("ab") as stream:
            stream.write(b"more")
        return "digest of a part"

    monkeypatch.setattr(digests, "file_digest", grow)
    with pytest.raises(SourceCorrupt, match="changes while it is read"):
        content_digest(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceCorrupt, match=r"gone: cannot be read"):
        content_digest(tmp_path / "gone")


def test_without_a_cache_the_digest_is_the_same_and_the_person_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "digests.sqlite").write_bytes(b"no database " * 100)
    with caplog.at_level(logging.WARNING):
        assert content_digest(path) == sha256(b"one")
    assert "NIGHTSCORE_SOURCE_CACHE" in caplog.text
    forget(monkeypatch)
    monkeypatch.setenv("NIGHTSCORE_SOURCE_CACHE", str(path))  # a file, not a folder
    assert content_digest(path) == sha256(b"one")
