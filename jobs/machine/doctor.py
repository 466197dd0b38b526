"""Says in under a second whether this machine has what nightscore needs, and what to do if not.

Nothing heavy is imported: versions come from the packages' metadata, not from the packages.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.markers import Marker
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from feature_store.home import Home
from feature_store.text import visible
from jobs.machine import class_archive, jars, java, tables_check
from models.scoring.compiler import COST_WITHOUT, find_compiler

Status = Literal["ok", "warn", "fail"]

ROOT = Path(__file__).resolve().parents[2]
JOBS_LOCK = ROOT / "infra" / "locks" / "jobs.lock"
AIRFLOW_ENV = ROOT / ".venv-airflow"
REMAKE = "make .venv"

# Tested together; another version of one of these is another system.
REQUIRED = (
    "pyspark",
    "delta-spark",
    "deltalake",
    "torch",
    "petastorm",
    "pyarrow",
    "numpy",
    "pandas",
    "great-expectations",
    "mlflow",
    "safetensors",
    "typer",
    "rich",
    "pydantic",
    "jinja2",
)

GIB = 2**30
MEMORY_WARN_GIB, MEMORY_FAIL_GIB = 4.0, 1.5  # Spark's driver, its workers and one model in each
DISK_WARN_GIB, DISK_FAIL_GIB = 10.0, 1.0

_COLOURS: dict[Status, str] = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What one check found; `remedy` is empty where there is nothing to do."""

    name: str
    status: Status
    found: str
    remedy: str = ""


def checks() -> list[CheckResult]:
    """Return every check's result; a check that breaks is a failed one, never a traceback."""
    groups: list[Callable[[], Iterable[CheckResult]]] = [
        lambda: [check_python()],
        lambda: check_packages(JOBS_LOCK),
        lambda: [check_java(), check_jars(), check_class_archive()],
        lambda: [check_compiler(), check_cpu(), check_memory()],
        lambda: check_home(Home.from_env()),
        lambda: check_tables(Home.from_env()),
        lambda: [check_airflow(AIRFLOW_ENV)],
    ]
    results: list[CheckResult] = []
    for group in groups:
        try:
            results.extend(group())
        except Exception as error:  # one broken check must not hide the others
            results.append(
                CheckResult(
                    name="doctor",
                    status="fail",
                    found=f"{type(error).__name__}: {error}",
                    remedy="mend what it names, then run nightscore doctor again",
                )
            )
    return results


def check_python() -> CheckResult:
    """3.11 and 3.12 fit: pyarrow 14 and numpy 1.26 have wheels for no newer one."""
    found = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return CheckResult(name="python", status="ok", found=found)
    remedy = "use Python 3.11 or 3.12: make .venv PYTHON=/path/to/python3.11"
    return CheckResult(name="python", status="fail", found=found, remedy=remedy)


def locked_versions(lock: Path) -> dict[str, str]:
    """Return package -> version for this interpreter, as a `uv pip compile` lock pins them."""
    versions: dict[str, str] = {}
    for line in lock.read_text().splitlines():
        requirement, _, marker = line.removesuffix("\\").strip().partition(" ; ")
        name, is_pinned, version = requirement.partition("==")
        if line[:1].isalnum() and is_pinned and (not marker or Marker(marker).evaluate()):
            versions[name] = version.strip()
    return versions


def check_packages(lock: Path) -> list[CheckResult]:
    """Compare what is installed with the lock: one result per required package, one for the rest.

    A required package that is missing or differs is a failure; another one is a warning.
    """
    if not lock.is_file():
        remedy = "run from a checkout of nightscore, where infra/locks is"
        return [CheckResult(name="packages", status="warn", found=f"no {lock}", remedy=remedy)]
    locked = locked_versions(lock)
    results = [_check_required(name, locked.get(name, "")) for name in REQUIRED]
    rest = {name: version for name, version in locked.items() if name not in REQUIRED}
    installed = {name: _installed(name) for name in rest}
    off = [
        f"{name} {installed[name] or 'missing'}, not {version}"
        for name, version in rest.items()
        if installed[name] != version
    ]
    found = f"{len(rest) - len(off)} of {len(rest)} as locked"
    if not off:
        return [*results, CheckResult(name="other packages", status="ok", found=found)]
    shown = "; ".join(off[:5]) + (f"; and {len(off) - 5} more" if len(off) > 5 else "")
    summary = CheckResult(
        name="other packages", status="warn", found=f"{found}: {shown}", remedy=REMAKE
    )
    return [*results, summary]


def check_java() -> CheckResult:
    """Spark 4 runs on Java 17 and 21."""
    try:
        runtime = java.find_java()
    except java.JavaNotFound as error:
        remedy = "apt-get install openjdk-17-jre-headless, or set JAVA_HOME"
        return CheckResult(name="java", status="fail", found=str(error), remedy=remedy)
    found = f"{runtime.version} from {runtime.origin}: {runtime.home}"
    return CheckResult(name="java", status="ok", found=found)


def check_jars(lock: Path = jars.LOCK, target: Path | None = None) -> CheckResult:
    """Delta's jars are in the environment and are the locked ones, byte for byte."""
    target = jars.jars_dir() if target is None else target
    locked = jars.read_lock(lock)
    wrong = [jar.file_name for jar in locked if not jars.is_right(target / jar.file_name, jar)]
    if wrong:
        found = f"missing or not as locked in {target}: {', '.join(wrong)}"
        remedy = ".venv/bin/python infra/setup_jars.py"
        return CheckResult(name="delta jars", status="fail", found=found, remedy=remedy)
    found = ", ".join(f"{jar.artifact} {jar.version}" for jar in locked)
    return CheckResult(name="delta jars", status="ok", found=found)


def check_class_archive() -> CheckResult:
    """Without the archive, or with one of other jars, Spark starts and warms up more slowly."""
    try:
        path = class_archive.archive_path(java.find_java())
    except java.JavaNotFound:
        return CheckResult(name="class archive", status="warn", found="no Java to have one of")
    if path.is_file():
        found = f"{path.stat().st_size / 1e6:.0f} MB in {path.parent}"
        return CheckResult(name="class archive", status="ok", found=found)
    return CheckResult(
        name="class archive",
        status="warn",
        found="none for this Java and these jars: Spark takes some seconds more",
        remedy=".venv/bin/python infra/setup_archive.py",
    )


def check_compiler() -> CheckResult:
    """AOTInductor compiles with a C++ compiler; without one the portable export is scored."""
    compiler = find_compiler()
    if compiler.path is None:
        return CheckResult(
            name="c++ compiler",
            status="warn",
            found=f"{compiler.why}: the portable export will be scored, {COST_WITHOUT}",
            remedy=compiler.remedy,
        )
    asked = [compiler.path, "-dumpfullversion"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10)
    found = f"{compiler.path} {done.stdout.strip()}".strip()
    return CheckResult(name="c++ compiler", status="ok", found=found)


def check_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> CheckResult:
    """Say what the compiled model can use; bf16 pays only where the CPU multiplies it itself."""
    cores = len(os.sched_getaffinity(0))
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    line = next((one for one in text.splitlines() if one.startswith("flags")), "")
    flags = set(line.partition(":")[2].split())
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    found = f"{cores} cores, {' '.join(f for f in known if f in flags) or 'no known vector flags'}"
    if flags & {"avx512_bf16", "amx_bf16"}:
        return CheckResult(name="cpu", status="ok", found=found)
    remedy = "leave training's precision at f32, the default: this CPU has no bf16 of its own"
    return CheckResult(
        name="cpu", status="ok" if "avx512f" in flags else "warn", found=found, remedy=remedy
    )


def check_memory() -> CheckResult:
    """Memory that this process may still use: the machine's, or its container's if less."""
    free = min(_available_bytes(), _cgroup_bytes()) / GIB
    status: Status = "ok"
    if free < MEMORY_WARN_GIB:
        status = "fail" if free < MEMORY_FAIL_GIB else "warn"
    remedy = "" if status == "ok" else f"free memory: {MEMORY_WARN_GIB} GiB or more is comfortable"
    return CheckResult(name="memory", status=status, found=f"{free:.1f} GiB free", remedy=remedy)


def check_home(home: Home) -> list[CheckResult]:
    """NIGHTSCORE_HOME can be written and has room; an object store is not asked."""
    if not home.is_local:
        found = f"{home.root} (an object store: not asked here)"
        return [CheckResult(name="home", status="ok", found=found)]
    place = Path(home.root)
    base = next(p for p in (place, *place.parents) if p.exists())
    if not _is_writable(base):
        remedy = "set NIGHTSCORE_HOME to a folder that you may write"
        return [
            CheckResult(
                name="home", status="fail", found=f"{place} cannot be written", remedy=remedy
            )
        ]
    found = str(place) if base == place else f"{place} (will be made)"
    free = shutil.disk_usage(base).free / GIB
    status: Status = "ok"
    if free < DISK_WARN_GIB:
        status = "fail" if free < DISK_FAIL_GIB else "warn"
    remedy = "" if status == "ok" else "free some, or set NIGHTSCORE_HOME to a larger disk"
    return [
        CheckResult(name="home", status="ok", found=found),
        CheckResult(name="disk", status=status, found=f"{free:.0f} GiB free", remedy=remedy),
    ]


def check_tables(home: Home) -> list[CheckResult]:
    """Nobody else changed what the tables hold, by their logs; an object store is not asked."""
    if not home.is_local:
        return []
    found = [
        CheckResult(name="tables", status="warn", found=finding.what, remedy=finding.remedy)
        for finding in tables_check.findings(home)
    ]
    return found or [CheckResult(name="tables", status="ok", found="as they were written")]


def check_airflow(env: Path) -> CheckResult:
    """Airflow lives in an environment of its own; the jobs run without it."""
    infos = sorted(env.glob("lib/python3.*/site-packages/apache_airflow-*.dist-info"))
    if not infos or not (env / "bin" / "airflow").is_file():
        return CheckResult(
            name="airflow",
            status="warn",
            found=f"not in {env} (jobs run without it; schedules and the DAG tests need it)",
            remedy="make .venv-airflow",
        )
    version = infos[-1].name.removeprefix("apache_airflow-").removesuffix(".dist-info")
    return CheckResult(name="airflow", status="ok", found=f"{version} in {env}")


def exit_code(results: Iterable[CheckResult]) -> int:
    """Return 1 where any check failed, else 0: a warning stops nothing."""
    return int(any(result.status == "fail" for result in results))


def render(results: Iterable[CheckResult], console: Console | None = None) -> None:
    """Print the results as a table, what to do below what was found."""
    table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
    for title in ("check", "status", "found"):
        table.add_column(title, overflow="fold")
    for result in results:
        remedy = f"\n→ {visible(result.remedy)}" if result.remedy else ""
        status = Text(result.status, style=_COLOURS[result.status])
        found = Text(f"{visible(result.found)}{remedy}")
        table.add_row(Text(visible(result.name)), status, found)
    (console or Console()).print(table)


def json_lines(results: Iterable[CheckResult]) -> str:
    """Return one JSON object per line: name, status, found, remedy."""
    return "\n".join(json.dumps(asdict(result), ensure_ascii=False) for result in results)


def run_doctor(as_json: bool = False) -> int:
    """Print every check's result and return the exit code: 1 where any failed."""
    results = checks()
    if as_json:
        print(json_lines(results))
    else:
        render(results)
    return exit_code(results)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _check_required(name: str, locked: str) -> CheckResult:
    installed = _installed(name)
    if installed == locked:
        return CheckResult(name=name, status="ok", found=locked)
    found = f"{installed or 'missing'}, the lock says {locked or 'nothing'}"
    return CheckResult(name=name, status="fail", found=found, remedy=REMAKE)


def _available_bytes() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    line = next(one for one in lines if one.startswith("MemAvailable:"))
    return int(line.split()[1]) * 1024


def _cgroup_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if limit == "max" else max(int(limit) - used, 0)


def _is_writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(run_doctor(as_json="--json" in sys.argv[1:]))
