"""The doctor finds what is missing, says what to do, and never falls over itself."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import namedtuple
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from feature_store.home import Home
from feature_store.tables.commits import commit_metadata
from feature_store.tables.inputs import Inputs
from jobs.machine import doctor, java
from jobs.machine.doctor import CheckResult

LINE = "    --hash=sha256:00"


def result(status: doctor.Status, remedy: str = "") -> CheckResult:
    return CheckResult(name="thing", status=status, found="[bold]x[/] 1", remedy=remedy)


def test_this_environment_passes_and_answers_for_every_required_package() -> None:
    results = doctor.checks()
    assert [r for r in results if r.status == "fail"] == []
    names = [r.name for r in results]
    assert set(doctor.REQUIRED) < set(names)
    expected = {
        "python",
        "java",
        "delta jars",
        "class archive",
        "c++ compiler",
        "cpu",
        "memory",
        "home",
        "airflow",
    }
    assert expected < set(names)
    assert len(names) == len(set(names))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, jobs.machine.doctor as d; d.checks(); "
        "print({'torch', 'pyspark', 'mlflow', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_lock_is_read_for_this_interpreter_only(tmp_path: Path) -> None:
    lock = tmp_path / "jobs.lock"
    lock.write_text(
        "# a comment\n"
        "here==1.0 ; python_full_version < '4' \\\n" + LINE + "\n"
        "elsewhere==2.0 ; sys_platform == 'win32' \\\n" + LINE + "\n"
        "always==3.0 \\\n" + LINE + "\n    # via here\n"
    )
    assert doctor.locked_versions(lock) == {"here": "1.0", "always": "3.0"}


def test_a_required_package_that_differs_fails_and_another_one_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REQUIRED", ("pytest", "not-there"))
    lock = tmp_path / "jobs.lock"
    lock.write_text("pytest==0.1\nnot-there==1.0\nrich==0.2\n")
    first, second, rest = doctor.check_packages(lock)
    assert (first.status, first.remedy) == ("fail", "make .venv")
    assert "the lock says 0.1" in first.found
    assert (second.status, second.found) == ("fail", "missing, the lock says 1.0")
    assert rest.status == "warn"
    assert "0 of 1 as locked" in rest.found
    assert "not 0.2" in rest.found


def test_no_lock_is_a_warning(tmp_path: Path) -> None:
    (only,) = doctor.check_packages(tmp_path / "none.lock")
    assert only.status == "warn"


def test_an_unfitting_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    version = namedtuple("version", "major minor micro")(3, 13, 0)
    monkeypatch.setattr(doctor.sys, "version_info", version)
    assert doctor.check_python().status == "fail"


def test_no_java_fails_with_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> java.JavaRuntime:
        raise java.JavaNotFound(["PATH names no Java"])

    monkeypatch.setattr(java, "find_java", nothing)
    found = doctor.check_java()
    assert found.status == "fail"
    assert "PATH names no Java" in found.found


def test_a_jar_that_is_not_the_locked_one_fails(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text(f"org thing 1.0 {'0' * 64}\n")
    (tmp_path / "thing-1.0.jar").write_bytes(b"something else")
    found = doctor.check_jars(lock, tmp_path)
    assert found.status == "fail"
    assert "thing-1.0.jar" in found.found
    assert "setup_jars" in found.remedy


@pytest.mark.parametrize(
    ("flags", "status", "remedy"),
    [
        ("fpu avx2 avx512f avx512_bf16", "ok", False),
        ("fpu avx2 avx512f", "ok", True),
        ("fpu avx2", "warn", True),
    ],
)
def test_bf16_is_advised_against_where_the_cpu_lacks_it(
    tmp_path: Path, flags: str, status: str, remedy: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    found = doctor.check_cpu(cpuinfo)
    assert (found.status, bool(found.remedy)) == (status, remedy)
    assert "leave training's precision at f32" in found.remedy or not remedy


@pytest.mark.parametrize(("gib", "status"), [(16.0, "ok"), (2.0, "warn"), (1.0, "fail")])
def test_little_memory_is_said(gib: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_available_bytes", lambda: int(gib * doctor.GIB))
    monkeypatch.setattr(doctor, "_cgroup_bytes", lambda: float("inf"))
    assert doctor.check_memory().status == status


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert doctor._cgroup_bytes(tmp_path) == 600
    (tmp_path / "memory.max").write_text("max\n")
    assert doctor._cgroup_bytes(tmp_path) == float("inf")


def test_a_home_that_is_not_there_yet_is_judged_by_its_nearest_parent(tmp_path: Path) -> None:
    home, disk = doctor.check_home(Home.of(tmp_path / "a" / "b"))
    assert home.status == "ok"
    assert "will be made" in home.found
    assert disk.name == "disk"
    assert not (tmp_path / "a").exists()


def test_a_home_below_a_file_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (only,) = doctor.check_home(Home.of(tmp_path / "file" / "home"))
    assert (only.status, "NIGHTSCORE_HOME" in only.remedy) == ("fail", True)


def test_an_object_store_is_not_asked() -> None:
    (only,) = doctor.check_home(Home.of("s3a://bucket/prefix"))
    assert only.status == "ok"


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(1, 1, doctor.GIB // 2)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _path: usage)
    assert doctor.check_home(Home.of(tmp_path))[1].status == "fail"


def test_a_missing_airflow_is_a_warning(tmp_path: Path) -> None:
    found = doctor.check_airflow(tmp_path)
    assert (found.status, found.remedy) == ("warn", "make .venv-airflow")


def test_a_check_that_breaks_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> CheckResult:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "check_python", broken)
    results = doctor.checks()
    assert (results[0].status, results[0].found) == ("fail", "OSError: no such thing")
    assert len(results) > len(doctor.REQUIRED)


def test_only_a_failure_makes_the_exit_code_1() -> None:
    assert doctor.exit_code([result("ok"), result("warn")]) == 0
    assert doctor.exit_code([result("ok"), result("fail")]) == 1


def test_the_table_shows_what_was_found_as_it_is_and_the_remedy() -> None:
    out = io.StringIO()
    doctor.render([result("fail", "mend it")], Console(file=out, width=100))
    assert "[bold]x[/] 1" in out.getvalue()
    assert "→ mend it" in out.getvalue()


def test_the_command_prints_one_json_object_per_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs.machine.doctor", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=doctor.ROOT,
        env={**os.environ},
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"name", "status", "found", "remedy"} == set(rows[0])


def _log(folder: Path, version: int, *actions: dict[str, object]) -> None:
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{version:020d}.json").write_text("\n".join(map(json.dumps, actions)))


def test_what_somebody_else_did_to_a_table_is_found_in_its_log(tmp_path: Path) -> None:
    home, day = Home.of(tmp_path), date(2026, 1, 1)
    (ok,) = doctor.check_tables(home)
    assert (ok.status, ok.found) == ("ok", "as they were written")

    folder = Path(home.table("toy", "events"))
    inputs = Inputs(definition="d", code="1")
    meta = commit_metadata("events", {(day, ""): inputs}, "token")
    file = {"path": "a", "partitionValues": {"ds": str(day)}, "size": 1}
    _log(folder, 0,
         {"commitInfo": {"timestamp": 0, "operation": "WRITE", "userMetadata": meta}},
         {"metaData": {"id": "t"}}, {"add": {**file, "stats": '{"numRecords": 60}'}})  # fmt: skip
    assert doctor.check_tables(home) == [ok]
    less = {**file, "path": "b", "dataChange": True, "stats": '{"numRecords": 54}'}
    _log(folder, 1, {"commitInfo": {"timestamp": 0, "operation": "DELETE", "engineInfo": "x"}},
         {"remove": file}, {"add": less})  # fmt: skip
    (found,) = doctor.check_tables(home)
    assert found.status == "warn"
    assert found.found == (
        "toy.events: somebody else changed ds=2026-01-01: DELETE at version 1 (x, 1970-01-01 "
        "00:00:00 UTC); the table holds 54 rows, the commit said 60"
    )
    assert "nightscore backfill --pipeline toy --from 2026-01-01" in found.remedy
    (folder / "_delta_log" / f"{2:020d}.json").write_text("")
    (found,) = doctor.check_tables(home)
    assert f"{2:020d}.json: the log file is empty" in found.found
