"""Code that makes a table's rows changed: somebody must say whether the rows did.

    python -m tests.unit.test_revisions

records the code as it is now, once the revisions in `jobs/version.py` (and those that sources
declare) are right.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from feature_store import sources
from feature_store.schema import EVENTS, FEATURES, SCORES, TILES, TRAINING_SETS
from feature_store.sources.files import DailyFiles
from jobs import version
from jobs.imports import Scope, code_digest, code_text, files_behind
from jobs.version import MADE_BY, REVISIONS, ROOT, revision, source_revision, table_files

RECORD = Path(__file__).with_name("revisions.json")


def declaring(package: ModuleType = sources) -> Iterator[type]:
    """Yield the shipped sources that declare a revision."""
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                if hasattr(value, "revision"):
                    yield value


def found() -> dict[str, dict[str, object]]:
    """Return what is recorded: revision and code of each table and of each declaring source."""
    tables: dict[str, dict[str, object]] = {
        table: {"revision": number, "code": code_digest(table_files(table), ROOT)}
        for table, number in REVISIONS.items()
    }
    own = {
        f"source {source.__name__}": {
            "revision": source.revision,  # type: ignore[attr-defined]
            "code": version.source_digest(source),
        }
        for source in declaring()
    }
    return {**tables, **own}


def recorded() -> dict[str, dict[str, object]]:
    record: dict[str, dict[str, object]] = json.loads(RECORD.read_text())
    return record


@pytest.mark.parametrize("table", list(REVISIONS))
def test_a_table_has_the_revision_of_the_code_that_makes_it(table: str) -> None:
    files = ", ".join(file.relative_to(ROOT).as_posix() for file in table_files(table))
    assert found()[table] == recorded().get(table), (
        f"the code behind {table} ({files}) changed. If its rows may differ from before, raise "
        f"REVISIONS[{table!r}] in jobs/version.py, so that plans call them stale. Then record the "
        "code: python -m tests.unit.test_revisions"
    )


def test_a_source_that_declares_a_revision_has_that_of_its_code() -> None:
    """One that was never recorded is new: nobody has rows of it yet."""
    now, before = found(), recorded()
    changed = [name for name in before if name.startswith("source ") and before[name] != now[name]]
    assert not changed, (
        f"the code behind {', '.join(changed)} changed. If what it reads may differ from before, "
        "raise its `revision`. Then record the code: python -m tests.unit.test_revisions"
    )


@pytest.mark.parametrize(
    ("table", "files"),
    [
        (EVENTS, ["events/quarantine", "events/content", "events/versions"]),
        (TILES, ["features/tiles", "definition/history"]),
        (FEATURES, ["features/features", "features/asof", "events/content", "events/cutoff"]),
        (TRAINING_SETS, ["features/encode"]),
        (SCORES, ["features/encode"]),
    ],
)
def test_what_a_step_imports_is_part_of_what_makes_its_rows(table: str, files: list[str]) -> None:
    there = {file.relative_to(ROOT).as_posix() for file in table_files(table)}
    assert {f"feature_store/{name}.py" for name in files} <= there


def test_no_table_depends_on_one_pipeline_one_model_or_what_stores_rows() -> None:
    assert set(MADE_BY) == set(REVISIONS)
    for table in MADE_BY:
        there = {file.relative_to(ROOT).as_posix() for file in table_files(table)}
        for kept_out in ("definitions/", "sources/", "models/zoo/", "tables/", "registry.py"):
            assert not [name for name in there if kept_out in name], table


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code, of which tables are asked instead of our own."""
    for package in ("feature_store", "jobs", "models"):
        shutil.copytree(ROOT / package, tmp_path / package)
    monkeypatch.setattr(version, "ROOT", tmp_path)
    for name in ("_ROWS", "_SOURCES", "_MODELS"):
        scope: Scope = getattr(version, name)
        moved = Scope(root=tmp_path, within=scope.within, boundary=scope.boundary)
        monkeypatch.setattr(version, name, moved)
    version.model_code.cache_clear()
    monkeypatch.setattr(version, "model_code", version.model_code.__wrapped__)
    return tmp_path


def digests() -> dict[str, str]:
    return {table: code_digest(table_files(table), version.ROOT) for table in MADE_BY}


def changed(before: dict[str, str]) -> set[str]:
    return {table for table, digest in digests().items() if digest != before[table]}


def add(file: Path, code: str) -> None:
    file.write_text(file.read_text() + f"\n{code}\n")


def test_a_new_file_that_a_step_comes_to_import_counts_by_itself(copy: Path) -> None:
    before = digests()
    (copy / "feature_store/features/rounding.py").write_text("PLACES = 3\n")
    assert changed(before) == set(), "nothing imports it yet"
    add(
        copy / "feature_store/features/asof.py",
        "def f():\n    from feature_store.features.rounding import PLACES\n    return PLACES",
    )
    assert changed(before) == {FEATURES}
    before = digests()
    (copy / "feature_store/features/rounding.py").write_text("PLACES = 4\n")
    assert changed(before) == {FEATURES}


@pytest.mark.parametrize(
    ("place", "tables"),
    [
        ("feature_store/events/content.py", {EVENTS, FEATURES}),
        ("feature_store/features/tiles.py", {TILES, FEATURES, TRAINING_SETS}),
        ("feature_store/features/encode.py", {TRAINING_SETS, SCORES}),
        ("feature_store/sources/files.py", set()),
        ("feature_store/definitions/flights.py", set()),
        ("feature_store/tables/warehouse.py", set()),
        ("models/zoo/dcnv2.py", set()),
        ("models/training/trainer.py", set()),
        ("models/registry.py", set()),
    ],
)
def test_a_change_counts_for_the_tables_it_makes(copy: Path, place: str, tables: set[str]) -> None:
    before = digests()
    add(copy / place, "# no more than a remark\n")
    assert changed(before) == set()
    add(copy / place, "NEW = 1")
    assert changed(before) == tables


def test_a_new_pipeline_source_or_model_changes_no_table_and_no_other_model(copy: Path) -> None:
    before = digests()
    models = {name: version.model_code(f"models.zoo.{name}") for name in ("lr", "fm", "dcnv2")}
    (copy / "feature_store/definitions/orders.py").write_text("from feature_store import schema\n")
    (copy / "feature_store/sources/orders.py").write_text("X = 1\n")
    (copy / "models/zoo/dlrm.py").write_text("from models.zoo import fm\n")
    add(copy / "models/registry.py", 'MODELS["dlrm"] = MODELS["fm"]')
    assert changed(before) == set()
    assert {name: version.model_code(f"models.zoo.{name}") for name in models} == models


def test_a_models_code_is_its_own_and_that_of_training(copy: Path) -> None:
    names = ("lr", "fm", "dcnv2", "finalmlp")

    def codes() -> dict[str, str]:
        return {name: version.model_code(f"models.zoo.{name}") for name in names}

    def edited(place: str) -> set[str]:
        before = codes()
        add(copy / place, "NEW = 1")
        return {name for name, code in codes().items() if code != before[name]}

    assert edited("models/zoo/lr.py") == {"lr"}
    assert edited("models/layers/cross.py") == {"dcnv2"}
    assert edited("models/layers/mlp.py") == {"dcnv2", "finalmlp"}
    assert edited("models/training/trainer.py") == set(names)
    assert edited("models/ranker.py") == set(names)
    (copy / "models/zoo/dlrm.py").write_text("from models.zoo.fm import build\n")
    names = ("fm", "dlrm")
    assert edited("models/zoo/fm.py") == {"fm", "dlrm"}


def test_a_source_is_made_of_what_it_reads_with_and_not_of_what_all_events_are_made_of(
    copy: Path,
) -> None:
    files, clicks = version.source_digest.__wrapped__, "feature_store/sources/clicks.py"
    before = files(DailyFiles)
    add(copy / "feature_store/events/content.py", "NEW = 1")
    add(copy / clicks, "NEW = 1")
    assert files(DailyFiles) == before
    (copy / "feature_store/letters.py").write_text("A = 1\n")
    add(copy / "feature_store/sources/files.py", "from feature_store.letters import A")
    imported = files(DailyFiles)
    (copy / "feature_store/letters.py").write_text("A = 2\n")
    assert len({before, imported, files(DailyFiles)}) == 3


def plant(folder: Path, code: str) -> Callable[[], Any]:
    """Return a source of a package of its own, imported anew."""
    package = folder / "planted"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "parsing.py").touch()
    (package / "orders.py").write_text(textwrap.dedent(code))
    importlib.invalidate_caches()
    module = importlib.reload(importlib.import_module("planted.orders"))
    source: Callable[[], Any] = module.Orders
    return source


def test_a_source_that_declares_no_revision_is_pinned_by_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = "from planted import parsing\nclass Orders:\n    '''Says what it is.'''\n    x = {}"
    first = source_revision(plant(tmp_path, code.format(1))())
    assert source_revision(plant(tmp_path, f"# a remark\n{code.format(1)}")()) == first
    assert source_revision(plant(tmp_path, code.format(2))()) != first
    (tmp_path / "planted/parsing.py").write_text("SEPARATOR = ';'\n")
    again = importlib.reload(importlib.import_module("planted.orders"))
    assert source_revision(again.Orders()) != first, "what it imports is its code as well"
    declared = plant(tmp_path, f"{code.format(3)}\n    revision = 2")
    assert source_revision(declared()) == "Orders r2"
    assert revision(EVENTS, declared()) == f"events r{REVISIONS[EVENTS]}, Orders r2"


def test_a_source_typed_in_at_a_prompt_is_pinned_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt = type("Orders", (), {"__module__": "no_such_module"})
    assert source_revision(prompt()) == "Orders typed in"


def test_code_is_what_is_left_without_remarks_and_docstrings(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        '"""Ä doc."""\n\nclass A: "ö one line"; x = "é # no remark"  # a remark\n'
        'def f():\n    """Two\n\n    lines."""\n\n    return """kept\n    # kept"""\n'
    )
    assert code_text(file) == (
        'class A: ; x = "é # no remark"\ndef f():\n    return """kept\n    # kept"""'
    )


def test_a_name_is_followed_to_the_file_that_defines_it(tmp_path: Path) -> None:
    for name, code in {
        "p/__init__.py": "from p.inner import A\nfrom .other import B\n",
        "p/inner.py": "A = 1",
        "p/other.py": "from . import third as t\nB = t.C",
        "p/third.py": "C = 1",
        "q.py": "from p import B",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    scope = Scope(root=tmp_path, within=("p",))
    names = [file.relative_to(tmp_path).as_posix() for file in files_behind(["q"], scope)]
    assert names == ["p/other.py", "p/third.py", "q.py"]
    with pytest.raises(LookupError, match=r"module p\.gone: there is no such file"):
        files_behind(["p.gone"], scope)


if __name__ == "__main__":
    RECORD.write_text(json.dumps(found(), indent=2) + "\n")
