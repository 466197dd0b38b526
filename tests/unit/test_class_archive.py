"""The archive of classes is taken where it fits, and nothing is said or lost where it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.machine import class_archive
from jobs.machine.class_archive import archive_options, archive_path, base_path, has_base
from jobs.machine.java import JavaNotFound, JavaRuntime, find_java

JAVA = JavaRuntime(home=Path("/java"), version="17.0.15", origin="JAVA_HOME")


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one jar of an environment."""
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    folder = tmp_path / "nightscore" / "jars"
    folder.mkdir(parents=True)
    (folder / "delta.jar").write_bytes(b"classes")
    return folder / "delta.jar"


def test_without_an_archive_java_is_told_nothing(jar: Path) -> None:
    assert archive_options(JAVA) == []
    assert class_archive.class_path() == str(jar)


def test_an_archive_is_of_one_java_and_one_set_of_jars(jar: Path) -> None:
    path = archive_path(JAVA)
    assert path.parent == jar.parents[1]
    assert archive_path(JAVA) == path
    assert archive_path(replace(JAVA, version="17.0.16")) != path
    path.write_bytes(b"archive")
    assert archive_options(JAVA)[0] == f"-XX:SharedArchiveFile={path}"
    os.utime(jar, (1, 1))
    assert archive_options(JAVA) == []


def test_a_java_without_its_own_archive_takes_both(jar: Path, tmp_path: Path) -> None:
    path = archive_path(JAVA)
    path.write_bytes(b"archive")
    base_path(path).write_bytes(b"base")
    assert archive_options(JAVA)[0] == f"-XX:SharedArchiveFile={base_path(path)}:{path}"
    assert not has_base(replace(JAVA, home=tmp_path))
    (tmp_path / "lib" / "server").mkdir(parents=True)
    (tmp_path / "lib" / "server" / "classes.jsa").touch()
    assert has_base(replace(JAVA, home=tmp_path))


def test_java_starts_without_a_word_where_the_archive_is_broken(jar: Path) -> None:
    try:
        java = find_java()
    except JavaNotFound as error:
        pytest.skip(str(error))
    archive_path(java).write_bytes(b"no archive at all")
    command = [str(java.home / "bin" / "java"), *archive_options(java), "-version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "cds" not in done.stderr.lower()
    assert "archive" not in done.stderr.lower()


def test_set_up_without_a_usable_java_says_so_and_goes_on(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "infra" / "setup_archive.py"
    broken = tmp_path / "jvm" / "bin" / "java"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    (tmp_path / "jvm" / "release").write_text('JAVA_VERSION="17.0.1"\n')
    done = subprocess.run(
        [sys.executable, str(script)],
        env={"PATH": "/usr/bin:/bin", "JAVA_HOME": str(tmp_path / "jvm")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "none made" in done.stdout
    assert "nothing else changes" in done.stdout
