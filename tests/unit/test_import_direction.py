"""One direction: dags -> jobs -> {feature_store, models}, and each heavy library in its place.

Within a package too: no two files, and no two rooms (folders), import each other in a loop, and a
room of `jobs` imports only the rooms below it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Top-level names that a package never imports, at module level or inside a function.
FORBIDDEN = {
    "feature_store": {"torch", "jobs", "models", "dags", "airflow"},
    "models": {"pyspark", "delta", "airflow", "jobs", "feature_store", "dags"},
    "jobs": {"dags", "airflow"},
}
# The rooms of jobs, the lowest first; the files beside them are for all.
ROOMS = (
    "machine",
    "registry",
    "night",
    "backfill",
    "maintenance",
    "training",
    "report",
    "init",
    "cli",
)
# What starts a whole application imports the rooms, not the other way round.
ENTRANCES = {"jobs/demo.py", "jobs/submit.py"}

# A DAG file is parsed again and again, where our dependencies are not installed: nothing heavy.
DAGS_MAY_IMPORT = {"airflow", "dags"} | set(sys.stdlib_module_names)
# The pipelines: what these import when they are imported is the standard library's, and no more.
DAGS_MAY_IMPORT_OF_OURS = {"feature_store.definition", "feature_store.definitions"}
# Imported by no DAG file, and by its neighbours only when a task runs.
KUBERNETES_HOME = "dags/_fit_job.py"
KUBERNETES = {"aiohttp", "kubernetes_asyncio"}

PETASTORM_HOME = "models/training/data.py"
DELTA_HOME = "feature_store/tables/warehouse.py"
DELTA_RS_HOME = "feature_store/tables/reader.py"
DELTA_RS_READS_WITH = {"DeltaTable", "QueryBuilder"}

_DELTA_SQL = re.compile(
    r"\b(INSERT INTO|MERGE INTO|DELETE FROM|UPDATE|ALTER TABLE|CREATE TABLE|VACUUM|OPTIMIZE"
    r"|RESTORE)\b.*\bdelta\.`",
    re.DOTALL,
)


def violations(root: Path) -> list[str]:
    """Every forbidden import and every Delta write outside its one place, as `file:line: what`."""
    found = []
    for package in ("dags", *FORBIDDEN):
        for path in sorted((root / package).rglob("*.py")):
            where = path.relative_to(root)
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            found += [f"{where}:{line}: {what}" for line, what in _in_module(where, tree)]
    return list(dict.fromkeys(found))


def _in_module(where: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    package = where.parts[0]
    for line, name in _imports(where, tree):
        top = name.split(".")[0]
        is_at_home = top in KUBERNETES and where.as_posix() == KUBERNETES_HOME
        if package == "dags" and not (
            top in DAGS_MAY_IMPORT or name in DAGS_MAY_IMPORT_OF_OURS or is_at_home
        ):
            yield (
                line,
                f"dags import only airflow, definitions and the standard library, not {name}",
            )
        if top in FORBIDDEN.get(package, set()):
            yield line, f"{package} never imports {name}"
        if top == "petastorm" and where.as_posix() != PETASTORM_HOME:
            yield line, f"only {PETASTORM_HOME} imports {name}"
        if top == "delta" and where.as_posix() != DELTA_HOME and package != "models":
            yield line, f"only {DELTA_HOME} imports {name}"
        if top == "deltalake" and where.as_posix() != DELTA_RS_HOME:
            yield line, f"only {DELTA_RS_HOME} imports {name}"
    if where.as_posix() == DELTA_RS_HOME:
        yield from _delta_rs_writes(tree)
    if where.as_posix() != DELTA_HOME:
        yield from _delta_writes(tree)


def _imports(where: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, _absolute(where, node)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _absolute(where: Path, node: ast.ImportFrom) -> str:
    """`from ..x import y` in a/b/c.py is a.x; one level up from a package's root is its sibling."""
    if node.level == 0:
        return node.module or ""
    base = where.parts[: len(where.parts) - node.level]
    if not base:
        return node.module or node.names[0].name
    return ".".join([*base, *([node.module] if node.module else [])])


def loops(root: Path) -> list[str]:
    """Every circle of files and of rooms, as `a -> b -> a`."""
    files = _edges(root)
    rooms: dict[str, set[str]] = {}
    for file, imported in files.items():
        rooms.setdefault(_room(file), set()).update(map(_room, imported))
    return [" -> ".join(loop) for graph in (files, rooms) if (loop := _loop(graph))]


def upwards(root: Path) -> list[str]:
    """Every import of a higher room of `jobs`, or of what starts an application."""
    found = []
    for file, imported in _edges(root).items():
        for other in imported:
            here, there = _level(file), _level(other)
            if (here is not None and there is not None and there > here) or (
                other in ENTRANCES and file not in ENTRANCES
            ):
                found.append(f"{file} imports {other}")
    return found


def _edges(root: Path) -> dict[str, set[str]]:
    """Which of our files a file imports."""
    packages = ("dags", *FORBIDDEN)
    paths = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    known = {_module(path.relative_to(root)): path.relative_to(root).as_posix() for path in paths}
    edges: dict[str, set[str]] = {}
    for path in paths:
        where = path.relative_to(root)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        names = {name for _, name in _imports(where, tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names |= {f"{_absolute(where, node)}.{alias.name}" for alias in node.names}
        here = where.as_posix()
        edges[here] = {known[name] for name in names if name in known} - {here}
        # A package's face hands on what its files define: who imports it, imports the file.
        edges[here] = {name for name in edges[here] if not _is_above(name, here)}
    return edges


def _is_above(face: str, file: str) -> bool:
    return face.endswith("/__init__.py") and file.startswith(face.removesuffix("__init__.py"))


def _module(where: Path) -> str:
    parts = where.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(file: str) -> str:
    """The folder within a package; a file that lies in none is a room of its own."""
    parts = file.split("/")
    return "/".join(parts[:2]).removesuffix(".py") if len(parts) > 2 else file


def _level(file: str) -> int | None:
    parts = file.split("/")
    return ROOMS.index(parts[1]) if parts[0] == "jobs" and len(parts) > 2 else None


def _loop(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, its first node named again at the end; nothing if there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, set()) - {node}):
            found = walk(other, [*path, node])
            if found:
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := walk(node, []))), [])


def _delta_writes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "DeltaTable":
            yield node.lineno, f"only {DELTA_HOME} uses DeltaTable"
        if isinstance(node, ast.Call) and _called(node) == "format" and _names_delta(node):
            if _chain(node.func) & {"write", "writeTo", "writeStream"}:
                yield node.lineno, f"only {DELTA_HOME} writes Delta"
        if isinstance(node, ast.Constant | ast.JoinedStr) and _DELTA_SQL.search(_text(node)):
            yield node.lineno, f"only {DELTA_HOME} changes a Delta table by SQL"


def _delta_rs_writes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What the reader takes of delta-rs beside the two names that it reads with."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "deltalake"
            and node.attr not in DELTA_RS_READS_WITH
        ):
            yield node.lineno, f"{DELTA_RS_HOME} reads only: no {node.attr}"


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _names_delta(node: ast.Call) -> bool:
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(isinstance(v, ast.Constant) and v.value == "delta" for v in values)


def _chain(node: ast.expr) -> set[str]:
    """The attribute names of a call chain: {write, mode, format} of `df.write.mode(m).format`."""
    names = set()
    current: ast.expr = node
    while isinstance(current, ast.Attribute | ast.Call):
        if isinstance(current, ast.Attribute):
            names.add(current.attr)
            current = current.value
        else:
            current = current.func
    return names


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(_text(part) for part in node.values if isinstance(part, ast.Constant))


def test_imports_point_one_way_and_each_heavy_library_has_one_home() -> None:
    assert violations(ROOT) == []


def test_nothing_imports_in_a_loop() -> None:
    assert loops(ROOT) == []


def test_a_room_imports_only_the_rooms_below_it() -> None:
    assert upwards(ROOT) == []


def test_jobs_is_rooms_and_what_starts_or_serves_them_all() -> None:
    assert {path.name for path in (ROOT / "jobs").iterdir() if (path / "__init__.py").exists()} == {
        *ROOMS
    }
    loose = {path.name for path in (ROOT / "jobs").glob("*.py")}
    assert loose == {
        "__init__.py",
        "config.py",
        "context.py",
        "demo.py",
        "finality.py",
        "imports.py",
        "submit.py",
        "version.py",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"models/a.py": "import models.b", "models/b.py": "from models import a"}, "models/a.py"),
        (
            {
                "models/a.py": "def f():\n    from .b import x",
                "models/b.py": "from models.c import y",
                "models/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                "    from models.a import f",
            },
            "models/a.py -> models/b.py -> models/c.py -> models/a.py",
        ),
        (
            {
                "models/x/a.py": "from models.y import b",
                "models/y/b.py": "",
                "models/y/c.py": "from models.x.d import e",
                "models/x/d.py": "",
            },
            "models/x -> models/y -> models/x",
        ),
    ],
)
def test_a_planted_loop_is_caught(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, code in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    found = loops(tmp_path)
    assert found
    assert all(expected in loop for loop in found), found


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("jobs/night/score.py", "from jobs.report.render import x"),
        ("jobs/night/score.py", "def f():\n    from jobs.training import train"),
        ("jobs/cli/app.py", "from jobs import demo"),
        ("jobs/context.py", "from jobs.submit import main"),
    ],
)
def test_a_planted_import_of_what_is_above_is_caught(tmp_path: Path, place: str, code: str) -> None:
    for name in ("jobs/report/render.py", "jobs/training/train.py", "jobs/demo.py", place):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "jobs/submit.py").touch()
    (tmp_path / place).write_text(code)
    assert len(upwards(tmp_path)) == 1


PLANTED = [
    ("dags/nightly.py", "import pyspark"),
    ("dags/_fit_trigger.py", "def f():\n    import kubernetes_asyncio"),
    ("dags/_fit_job.py", "import kubernetes"),
    ("dags/nightly.py", "from jobs.config import x"),
    ("dags/nightly.py", "from feature_store import tables"),
    ("dags/nightly.py", "from feature_store.tables.warehouse import Warehouse"),
    ("dags/nightly.py", "def f():\n    import torch"),
    ("feature_store/features/tiles.py", "import torch.nn as nn"),
    ("feature_store/features/tiles.py", "from models import spec"),
    ("feature_store/definitions/flights.py", "from ...jobs import config"),
    ("feature_store/definitions/flights.py", "from ... import dags"),
    ("models/dlrm.py", "from pyspark.sql import functions"),
    ("models/dlrm.py", "import importlib\nimportlib.import_module('feature_store.schema')"),
    ("models/layers/cross.py", "def f():\n    from airflow import DAG"),
    ("models/dlrm.py", "from delta import DeltaTable as D"),
    ("models/training/trainer.py", "from petastorm import make_batch_reader"),
    ("jobs/training/train.py", "import petastorm.reader"),
    ("jobs/night/score.py", "import airflow"),
    ("jobs/night/score.py", "from delta.tables import DeltaTable as D"),
    ("jobs/night/score.py", "def f(df):\n    df.write.mode('append').format('delta').save('x')"),
    ("jobs/night/score.py", "def f(df):\n    df.write.format(source='delta').save('x')"),
    ("feature_store/events/quarantine.py", "def f(t):\n    return DeltaTable.forPath(t)"),
    ("jobs/night/score.py", "def f():\n    import deltalake"),
    ("jobs/night/score.py", "from deltalake import QueryBuilder"),
    (DELTA_RS_HOME, "import deltalake\ndeltalake.write_deltalake('x', t)"),
    ("jobs/maintenance/tables.py", "def f(s, p):\n    s.sql(f'VACUUM delta.`{p}` RETAIN 1 HOURS')"),
]


@pytest.mark.parametrize(("place", "code"), PLANTED)
def test_a_planted_violation_is_caught(tmp_path: Path, place: str, code: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}:")


ALLOWED = [
    (DELTA_RS_HOME, "import deltalake\ndeltalake.DeltaTable('x')"),
    ("dags/_fit_job.py", "import aiohttp\nfrom kubernetes_asyncio.client import ApiClient"),
    ("dags/nightly.py", "import datetime\nfrom airflow.sdk import DAG\nfrom dags._tasks import t"),
    ("dags/nightly.py", "from ._tasks import task"),
    ("dags/_pipelines.py", "from feature_store.definitions import load, names"),
    (
        "jobs/night/score.py",
        "import torch\nfrom feature_store import tables\nfrom models import predict",
    ),
    ("jobs/report/render.py", "def f(s):\n    return s.read.format('delta').load('x')"),
    ("models/training/data.py", "from petastorm import make_batch_reader"),
    (
        "feature_store/tables/warehouse.py",
        "from delta.tables import DeltaTable\nDeltaTable.forPath",
    ),
    ("feature_store/definitions/flights.py", "from ..definition import Pipeline"),
    ("feature_store/quality/checks.py", "import great_expectations\nimport pyspark"),
]


@pytest.mark.parametrize(("place", "code"), ALLOWED)
def test_what_is_allowed_is_not_reported(tmp_path: Path, place: str, code: str) -> None:
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert violations(tmp_path) == []
