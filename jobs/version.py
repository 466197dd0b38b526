"""The version of the code that computed something: of nightscore, and of each table's rows.

A release that changes no row must not make years of them stale, and a mended formula must, the day
it is merged. So every table has a revision of its own, raised by hand when its rows may differ.
Which code makes its rows is found by following the imports of the step that writes it, and
`tests/unit/test_revisions.py` fails when it changed and nobody has said whether the rows did.

What is one pipeline's or one model's own is not among them, so that to add or change it concerns
nobody else: a source's code counts for the tables that are read from it, a model's for the models
that are made by it.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.schema import EVENTS, FEATURES, SCORES, TILES, TRAINING_SETS
from jobs.imports import Module, Scope, code_digest, files_behind, imported_modules

if TYPE_CHECKING:
    from feature_store.definition import Source

REVISIONS = {EVENTS: 3, TILES: 3, FEATURES: 2, TRAINING_SETS: 2, SCORES: 1}
"""Raise a table's number when its rows may differ from those that the code before made."""

MADE_BY = {
    EVENTS: ("jobs.night.ingest",),
    TILES: ("jobs.night.build_tiles",),
    FEATURES: ("jobs.night.build_features",),
    TRAINING_SETS: ("jobs.training.training_set",),
    SCORES: ("jobs.night.scorer",),
}
"""Where the rows of each table are computed; what these modules import is found, not listed."""

ROOT = Path(__file__).resolve().parents[1]

_ROWS = Scope(
    root=ROOT,
    within=("feature_store", "models"),
    boundary=(
        # Each of these counts where it is used, by its own digest or fingerprint.
        "feature_store.definitions",
        "feature_store.sources",
        "feature_store.streams",
        "models.registry",
        "models.zoo",
        # These refuse, store, name or judge rows, and make none.
        "feature_store.definition.functions",
        "feature_store.definition.common_rules",
        "feature_store.definition.naming",
        "feature_store.definition.rules",
        "feature_store.definition.stream_rules",
        "feature_store.definition.typed",
        "feature_store.errors",
        "feature_store.home",
        "feature_store.quality",
        "feature_store.schema",
        "feature_store.tables",
        "models.errors",
        "models.training",
    ),
)
_SOURCES = Scope(
    root=ROOT,
    within=("feature_store",),
    boundary=tuple(name for name in _ROWS.boundary if name != "feature_store.sources"),
)
_MODELS = Scope(root=ROOT, within=("models",), boundary=("models.errors", "models.registry"))
_TRAINING = ("models.training.trainer", "models.scoring.bundle")
"""What makes a bundle of whatever model."""


@cache
def code_version() -> str:
    """Return the installed version of nightscore."""
    return version("nightscore")


def revision(table: str, source: Source | None = None) -> str:
    """Return the revision of the code that makes a table's rows, as it is pinned.

    Args:
        table: the table.
        source: where its rows are read from, for a table that is read from a source.
    """
    own = f"{table} r{REVISIONS[table]}"
    return own if source is None else f"{own}, {source_revision(source)}"


def source_revision(source: Source) -> str:
    """Return what is pinned of a source's code: the `revision` that it declares.

    One that declares none is pinned by a digest of its code: then every change of it counts.
    """
    declared, own = getattr(source, "revision", None), type(source)
    pinned = f"r{declared}" if declared is not None else source_digest(own)
    return f"{own.__name__} {pinned}"


@cache
def source_digest(source: type) -> str:
    """Return the digest of the code of a source's class: its file, and what that imports.

    What it shares with what makes events of every source counts there.
    """
    name = source.__module__
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return "typed in"  # at a prompt or in a notebook: there is no file to look at
    if name == "__main__":
        return code_digest([Path(file)], Path(file).parent)
    if name.startswith("feature_store."):
        found = files_behind([name], _SOURCES)
        shared = set(table_files(EVENTS))
        return code_digest([path for path in found if path not in shared], ROOT)
    root, files = _outside(name)
    return code_digest(files, root)


def table_files(table: str) -> list[Path]:
    """Return the files that decide a table's rows, but those of sources."""
    return files_behind(MADE_BY[table], _ROWS)


@cache
def model_code(module: str) -> str:
    """Return the digest of the code that makes a model: its module, and how models are trained.

    Args:
        module: dotted name of the module that builds it. One from outside the package has been
            imported: a file counts by itself, a package's module with what it imports of its own.
    """
    if Module(ROOT, module).file is not None:
        return code_digest(files_behind([module, *_TRAINING], _MODELS), ROOT)
    root, files = _outside(module)
    taken = {name for file in files for name in imported_modules(file) if _MODELS.holds(name)}
    ours = [name for name in sorted(taken) if Module(ROOT, name).file is not None]
    shared = files_behind([*_TRAINING, *ours], _MODELS)
    return f"{code_digest(files, root)} {code_digest(shared, ROOT)}"


def _outside(module: str) -> tuple[Path, list[Path]]:
    """Return the files of an imported module from outside, below the folder it is imported from."""
    file = Path(str(sys.modules[module].__file__)).resolve()
    parts = module.split(".")
    root = file.parents[len(parts) - (file.name != "__init__.py")]
    if Module(root, module).file is None:
        return file.parent, [file]  # named by its file, and so with no folder to find others in
    return root, files_behind([module], Scope(root=root, within=(parts[0],)))
