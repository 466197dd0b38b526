"""Runs of the benchmark `features`: a process each, in a folder that keeps what was measured."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jobs.imports import code_digest
from tests.benchmarks.features_case import Case

ROOT = Path(__file__).resolve().parents[2]
OURS, THEIRS = "nightscore", "DuckDB"
WHO = (OURS, THEIRS)
_MODULES = {OURS: "tests.benchmarks.features_ours", THEIRS: "tests.benchmarks.features_duckdb"}
_PACKAGES = ("feature_store", "jobs", "models", "tests/benchmarks")


def call(module: str, request: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Return what a contender's process printed last; it must succeed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(request))
    done = subprocess.run(
        [sys.executable, "-m", module, str(place)],
        cwd=ROOT, text=True, check=False, capture_output=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{module} {place}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


class Runs:
    """The cases of a run, in a folder that keeps what was measured."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self.kept = folder / digest(settings) / "results.json"
        self.results: dict[str, Any] = (
            json.loads(self.kept.read_text()) if self.kept.exists() else {}
        )

    def once(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return a result that is kept, or measured now and kept."""
        if key not in self.results:
            self.results[key] = measure()
            self.kept.parent.mkdir(parents=True, exist_ok=True)
            draft = self.kept.with_suffix(".draft")
            draft.write_text(json.dumps(self.results, indent=1))
            draft.rename(self.kept)
            print(f"  {key}: {short(self.results[key])}", flush=True)
        return self.results[key]

    def delivered(self, case: Case) -> tuple[Path, dict[str, Any]]:
        """Return the folder of a case's files, generated unless they are there, and what it took.

        The same shop is the same rows, whatever the code of the steps is.
        """
        place = self.folder / "delivered" / f"{case.name}-{case.data_digest()}"
        told = place / "generated.json"
        if not told.exists():
            draft = place.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            request = {"case": asdict(case), "is_delivery": True, "delivered": str(draft)}
            found = call(_MODULES[OURS], request, self.folder / "requests" / "deliver.json")
            (draft / told.name).write_text(json.dumps(found))
            draft.rename(place)
            print(f"  {case.name}: generated in {found['seconds']:.0f} s", flush=True)
        return place, json.loads(told.read_text())

    def run(self, who: str, case: Case, **more: Any) -> dict[str, Any]:
        """Return what one run of a contender took, in a folder of its own."""
        place, _ = self.delivered(case)
        work = self.work(who)
        shutil.rmtree(work, ignore_errors=True)
        request = {
            "case": asdict(case),
            "pipeline": case.pipeline,
            "delivered": str(place),
            "splits": {split: str(day) for split, day in case.splits.items()},
            "folder": str(work),
            "threads": self.settings["threads"],
            "memory": self.settings["memory"],
            "is_delivery": False,
            "is_profiled": False,
            "is_scored": False,
            "is_compared": False,
            "compared_with": None,
            **more,
        }
        result = call(_MODULES[who], request, self.folder / "requests" / f"{work.name}.json")
        (work / "result.json").write_text(json.dumps(result))
        return result

    def work(self, who: str) -> Path:
        """Return the folder that the last run of a contender worked in."""
        return self.folder / "work" / who.lower()

    def clean(self) -> None:
        """Remove what the runs made; files and results stay."""
        shutil.rmtree(self.folder / "work", ignore_errors=True)


def digest(settings: Mapping[str, Any]) -> str:
    """Return 16 hex digits over our code, the SQL and the settings of the run."""
    code = [file for package in _PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
    sql = [file.read_text() for file in sorted((ROOT / "tests/benchmarks/sql").rglob("*.sql"))]
    text = json.dumps([code_digest(code, ROOT), sql, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def short(result: Mapping[str, Any]) -> str:
    """Return the seconds of a result in one line."""
    if "steps" not in result:
        rate = result["rows"] / result["seconds"]
        return f"{result['rows']:,} rows in {result['seconds']:.1f} s, {rate:,.0f} rows/s"
    return ", ".join(f"{step} {spent['seconds']:.1f} s" for step, spent in result["steps"].items())
