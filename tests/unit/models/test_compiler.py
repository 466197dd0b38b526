"""One function says which compiler there is, to the doctor as to the compiler's caller."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobs.machine import doctor
from models.errors import CompilerMissing
from models.scoring import bundle as bundles
from models.scoring.compiler import COST_WITHOUT, find_compiler
from tests.unit.models.conftest import NEEDS_COMPILER, Zoo, save


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make a machine that has these compilers and no others, and CXX as said."""

    def make(compilers: tuple[str, ...], cxx: str | None) -> None:
        for name in compilers:
            (tmp_path / name).write_text("#!/bin/sh\necho 14.2\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("CXX", cxx) if cxx else monkeypatch.delenv("CXX", raising=False)

    return make


@pytest.mark.parametrize(
    ("compilers", "cxx", "found"),
    [
        (("g++", "clang++"), None, "g++"),
        (("g++", "clang++"), "clang++", "clang++"),
        (("clang++",), "clang++", "clang++"),
    ],
)
def test_the_doctor_names_the_compiler_that_will_be_used(
    there, compilers: tuple[str, ...], cxx: str | None, found: str
) -> None:
    there(compilers, cxx)
    path = find_compiler().path
    assert path is not None
    assert Path(path).name == found
    told = doctor.check_compiler()
    assert (told.status, told.found.split()[0]) == ("ok", path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compilers", "cxx", "why", "remedy"),
    [
        ((), None, "no g++", "apt-get install g++"),
        (("clang++",), None, "no g++, only clang++", "set CXX=clang++"),
        (("g++", "clang++"), "icpx", "CXX='icpx' names no program", "unset it"),
    ],
)
def test_the_doctor_and_the_training_miss_a_compiler_for_the_same_reason(
    there, zoo: Zoo, tmp_path: Path, compilers: tuple[str, ...], cxx: str | None, why: str,
    remedy: str,
) -> None:  # fmt: skip
    trained = zoo.trained("lr")
    there(compilers, cxx)
    told = doctor.check_compiler()
    assert told.status == "warn"
    assert told.found == f"{why}: the portable export will be scored, {COST_WITHOUT}"
    assert remedy in told.remedy
    with pytest.warns(CompilerMissing) as warned:
        ref = save(trained, tmp_path / "bundle", compiled=True)
    for part in (f"({why})", COST_WITHOUT, told.remedy):
        assert part in str(warned[0].message)
    loaded = bundles.load(ref.path, ref.digest)
    assert (loaded.engine, loaded.manifest["compiled"]) == ("export", None)


@NEEDS_COMPILER
@pytest.mark.slow
def test_the_compiler_that_cxx_names_compiles(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, log = zoo.trained("lr"), tmp_path / "log"
    own = tmp_path / "own-c++"
    own.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec g++ "$@"\n')
    own.chmod(0o755)
    monkeypatch.setenv("CXX", str(own))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    ref = save(trained, tmp_path / "bundle", compiled=True)
    assert bundles.load(ref.path, ref.digest).engine == "aoti"
    assert any(".cpp" in line for line in log.read_text().splitlines()), os.environ["CXX"]
