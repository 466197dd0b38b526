"""AIRFLOW_DB is enough: the whole of Airflow on a real PostgreSQL, with a stand-in for Spark."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.airflow.server import ROOT, Airflow, clean_environment, free_port

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(900)]

DAG = "nightly_flights"
DAYS = ["2013-12-09", "2013-12-10", "2013-12-11"]
FAKE = ROOT / "tests" / "airflow" / "fake_spark_submit.py"


def _programs() -> Path:
    """Return the folder of PostgreSQL's server programs."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    for folder in [*folders, *([Path(on_path).parent] if on_path else [])]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("no PostgreSQL server is installed")


def _as_server_user(folder: Path) -> list[str]:
    """Return what runs a command as a user that PostgreSQL accepts: it refuses root."""
    if os.getuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("running as root, and there is no user postgres to run the server as")
    if shutil.which("runuser") is None:
        pytest.skip("running as root, and there is no runuser to run the server as postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A server of its own on a free port, gone afterwards; yields its URL."""
    programs = _programs()
    # Not pytest's own folder: nobody but its owner may enter that.
    folder = Path(tempfile.mkdtemp(prefix="nightscore-postgres-"))
    user, port, data = _as_server_user(folder), free_port(), folder / "data"

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            [*user, *command], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    password = folder / "password"
    password.write_text("not-so-secret")
    password.chmod(0o644)
    run(programs / "initdb", "-D", data, "-U", "airflow", "-A", "scram-sha-256",
        f"--pwfile={password}", "--no-sync")  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    try:
        run(programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        yield f"postgresql://airflow:{password.read_text()}@127.0.0.1:{port}/postgres"
    finally:
        stop: Sequence[str | Path] = (programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        subprocess.run([*user, *stop], cwd=folder, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def airflow(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow on PostgreSQL, ready."""
    if not (ROOT / ".venv-airflow" / "bin" / "airflow").exists():
        pytest.skip("there is no .venv-airflow; make .venv-airflow")
    home = tmp_path_factory.mktemp("postgres") / "home"
    settings = {
        "AIRFLOW_DB": postgres,
        "NIGHTSCORE_SPARK_SUBMIT": str(FAKE),
        "FAKE_CALLS": str(home / "calls.jsonl"),
    }
    server = Airflow(ROOT, home, settings)
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def test_nights_and_a_backfill_run_on_postgresql(airflow: Airflow) -> None:
    airflow.switch_on(DAG)
    airflow.trigger(DAG, DAYS[0])
    assert airflow.wait_for_runs(DAG, DAYS[:1], 300) == {DAYS[0]: "success"}
    done = airflow.script("backfill", "flights", f"--from={DAYS[1]}", f"--to={DAYS[2]}")
    assert done.returncode == 0, done.stderr
    assert airflow.wait_for_runs(DAG, DAYS, 300) == dict.fromkeys(DAYS, "success")
    calls = (airflow.home / "calls.jsonl").read_text().splitlines()
    assert len(calls) == len(DAYS), "one Spark application a night"


def test_nothing_was_kept_in_sqlite(airflow: Airflow) -> None:
    assert not list(airflow.home.rglob("*.db"))


def test_its_password_is_in_no_file_and_no_output(airflow: Airflow) -> None:
    secret = airflow.settings["AIRFLOW_DB"].partition("@")[0]
    texts = [path for path in airflow.home.rglob("*") if path.is_file()]
    assert texts
    assert [path for path in texts if secret in path.read_text(errors="ignore")] == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("AIRFLOW_PORT", "eighty", "AIRFLOW_PORT='eighty': must be a port"),
        ("AIRFLOW_PORT", "0", "AIRFLOW_PORT='0': must be a port"),
        ("AIRFLOW_DB", "mysql://x:y@host/z", "AIRFLOW_DB: must begin with postgresql://"),
        (
            "NIGHTSCORE_HOME",
            "file:x",
            "airflow: NIGHTSCORE_HOME='file:x': a file: URL names",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    tmp_path: Path, name: str, value: str, why: str
) -> None:
    done = subprocess.run(
        [ROOT / "infra" / "airflow.sh"],
        env=clean_environment(**{"NIGHTSCORE_HOME": str(tmp_path), name: value}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert why in done.stderr
    assert "y@host" not in done.stderr


def test_help_says_how() -> None:
    done = subprocess.run(
        [ROOT / "infra" / "airflow.sh", "--help"], capture_output=True, text=True, check=True
    )
    for word in ("backfill", "AIRFLOW_PORT", "AIRFLOW_DB", "NIGHTSCORE_HOME", "unpaused"):
        assert word in done.stdout
