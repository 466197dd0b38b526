"""Only the locked jars get into an environment, whole or not at all."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from jobs.machine.jars import JarError, LockedJar

SCRIPT = Path(__file__).resolve().parents[2] / "infra" / "setup_jars.py"
GOOD = b"the jar"


@pytest.fixture(scope="module")
def setup_jars() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_jars", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def jar() -> LockedJar:
    digest = hashlib.sha256(GOOD).hexdigest()
    return LockedJar(group="org", artifact="thing", version="1.0", sha256=digest)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize("name", ["org_thing-1.0.jar", "thing-1.0.jar"])
def test_a_right_jar_is_installed_once(
    setup_jars: ModuleType, jar: LockedJar, source: Path, tmp_path: Path, name: str
) -> None:
    (source / name).write_bytes(GOOD)
    target = tmp_path / "env" / "jars"
    assert setup_jars.install([jar], target, source) == ["thing-1.0.jar"]
    assert setup_jars.install([jar], target, tmp_path / "gone") == []
    assert (target / "thing-1.0.jar").read_bytes() == GOOD


def test_a_wrong_jar_is_refused_and_nothing_is_left_behind(
    setup_jars: ModuleType, jar: LockedJar, source: Path, tmp_path: Path
) -> None:
    (source / "thing-1.0.jar").write_bytes(b"another jar")
    target = tmp_path / "env" / "jars"
    with pytest.raises(JarError, match="not installed") as caught:
        setup_jars.install([jar], target, source)
    assert jar.sha256 in str(caught.value)
    assert list(target.iterdir()) == []


def test_a_damaged_jar_is_mended(
    setup_jars: ModuleType, jar: LockedJar, source: Path, tmp_path: Path
) -> None:
    (source / "thing-1.0.jar").write_bytes(GOOD)
    target = tmp_path / "env" / "jars"
    target.mkdir(parents=True)
    (target / "thing-1.0.jar").write_bytes(b"cut off")
    assert setup_jars.install([jar], target, source) == ["thing-1.0.jar"]


def test_a_jar_of_another_version_leaves_with_it(
    setup_jars: ModuleType, jar: LockedJar, source: Path, tmp_path: Path
) -> None:
    (source / "thing-1.0.jar").write_bytes(GOOD)
    target = tmp_path / "env" / "jars"
    target.mkdir(parents=True)
    (target / "thing-0.9.jar").write_bytes(b"old")
    setup_jars.install([jar], target, source)
    assert [path.name for path in target.iterdir()] == ["thing-1.0.jar"]


def test_a_resolver_that_cannot_answer_is_quoted(
    setup_jars: ModuleType, jar: LockedJar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_jars, "_run", lambda _command: (False, "unresolved dependency: x"))
    monkeypatch.setattr(setup_jars.time, "sleep", lambda _seconds: None)
    with pytest.raises(JarError, match=r"org:thing:1\.0") as caught:
        setup_jars.install([jar], tmp_path / "env" / "jars")
    assert "unresolved dependency: x" in str(caught.value)
    assert "--from DIR" in str(caught.value)
