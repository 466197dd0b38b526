"""Models that are not part of the package: in a file, or of an installed package.

Either is a `ModelSpec`, with the config's class and `build` in the module that it names. A file's
code is run when it is named; an installed package's when its model is first needed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from models.errors import ModelInvalid
from models.spec import ModelSpec

GROUP = "nightscore.models"
"""The entry points under which an installed package names its models."""

_REFERENCE = re.compile(r"(?P<path>.+\.py):(?P<attribute>.*)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_in_file(reference: str) -> bool:
    """Whether a model is named as `path.py:NAME`."""
    return _REFERENCE.fullmatch(reference) is not None


def from_file(reference: str) -> ModelSpec:
    """Return the spec that `path.py:NAME` names, having run the file.

    Raises:
        ModelInvalid: there is no such file, it fails, or NAME is no model that can be used.
    """
    match = _REFERENCE.fullmatch(reference)
    assert match is not None, reference  # noqa: S101 - asked before
    path = Path(match["path"])
    try:
        code = path.read_bytes()
    except OSError as error:
        raise ModelInvalid(reference, f"the file cannot be read: {error.strerror}") from error
    # Named by what is in it: an edited file is another module, and pickles find neither.
    name = f"nightscore_model_{hashlib.sha256(code).hexdigest()[:16]}"
    if name not in sys.modules:
        _run(reference, path, name)
    return checked(reference, getattr(sys.modules[name], match["attribute"], None))


def installed() -> Mapping[str, EntryPoint]:
    """Return the models of installed packages, by the name of their entry points."""
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def of_package(point: EntryPoint) -> ModelSpec:
    """Return the spec that an entry point names.

    Raises:
        ModelInvalid: it cannot be imported, or is no model that can be used.
    """
    reference = f"{point.name} ({point.value})"
    try:
        found = point.load()
    except Exception as error:
        raise ModelInvalid(reference, f"cannot be imported: {_told(error)}") from error
    spec = checked(reference, found)
    if spec.name != point.name:
        raise ModelInvalid(reference, f"its spec has another name: {spec.name}")
    return spec


def checked(reference: str, found: object) -> ModelSpec:
    """Return what a reference names, if a model can be built by it.

    Raises:
        ModelInvalid: it cannot.
    """
    if not isinstance(found, ModelSpec):
        raise ModelInvalid(reference, "names no ModelSpec; one is needed at the file's top level")
    if not _NAME.fullmatch(found.name):
        rule = "must be small letters, digits and _, and begin with a letter"
        raise ModelInvalid(reference, f"name={found.name!r}: {rule}")
    try:
        config_class, build = found.config_class, found.build
    except (ImportError, AttributeError) as error:
        raise ModelInvalid(reference, _told(error)) from error
    if not (isinstance(config_class, type) and dataclasses.is_dataclass(config_class)):
        raise ModelInvalid(reference, f"config={found.config!r}: is no dataclass")
    if not config_class.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise ModelInvalid(reference, f"config={found.config!r}: must be a frozen dataclass")
    if not callable(build):
        raise ModelInvalid(reference, "build: is no function")
    return found


def _run(reference: str, path: Path, name: str) -> None:
    spec = spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - it ends in .py
    assert spec.loader is not None  # noqa: S101
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there for the types of their fields
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ModelInvalid(reference, f"running the file failed: {_told(error)}") from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
