"""A trained model as a directory that cannot be changed unnoticed.

    weights.safetensors   dense weights, to build the eager model again
    tables.safetensors    embedding table and vocabulary, memory-mapped
    model.pt2             portable export
    compiled.pt2          compiled package (absent where there was no C++ compiler)
    signature.json        which columns it takes
    metrics.json          how good it was
    golden.safetensors    rows with the scores eager gave them
    manifest.json         sha256 of every file above, and where the model came from

The bundle's digest is the sha256 of manifest.json: whoever pins it pins every byte. Nothing is
deserialised before its digest was verified, and nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models import registry
from models.errors import BundleInvalid, BundleTampered, ConfigInvalid
from models.metrics import labelled
from models.ranker import Ranker
from models.scoring import compile as compiling
from models.scoring.golden import check_golden, golden_rows, save_golden
from models.scoring.precision import (
    HeldOut,
    Precision,
    PrecisionBounds,
    PrecisionReport,
    lowered,
    measure,
    refuse_beyond,
    worst,
)
from models.signature import Signature
from models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from models.training.trainer import TrainedModel

log = logging.getLogger(__name__)

Engine = Literal["aoti", "export"]
FORMAT = 1
MANIFEST = "manifest.json"
COMPILED = "compiled.pt2"
_GUARD_ROWS = 8192
REQUIRED = frozenset(
    {
        "weights.safetensors",
        "tables.safetensors",
        "model.pt2",
        "signature.json",
        "metrics.json",
        "golden.safetensors",
    }
)


@dataclass(frozen=True, slots=True)
class BundleRef:
    """Where a bundle is, and the digest that pins it."""

    path: Path
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Bundle:
    """A verified bundle, ready to score."""

    path: Path
    digest: str
    signature: Signature
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    engine: Engine
    table: Tensor
    slots: Tensor
    code: compiling.ScoringCode

    @property
    def model(self) -> str:
        """The registry's name of the model."""
        return self.manifest["model"]

    @property
    def encoding_digest(self) -> str:
        """The digest of the encoding its keys were made with; keys of another mean nothing."""
        return self.manifest["encoding_digest"]

    @property
    def data(self) -> dict[str, Any]:
        """The pins of the data it was trained on."""
        return self.manifest["data"]

    def logits(self, keys_BC: Tensor, values_BV: Tensor) -> Tensor:
        """Return logits (B, T) of contiguous keys (B, C) int64 and values (B, V) float32; B > 0."""
        return self.code(keys_BC, values_BV, self.table, self.slots)


def save(
    directory: Path | str,
    trained: TrainedModel,
    *,
    signature: Signature,
    metrics: dict[str, Any],
    data: dict[str, Any],
    encoding_digest: str,
    golden_keys: NDArray[np.int64],
    golden_values: NDArray[np.float32],
    compiled: bool = True,
    precision: Precision = "f32",
    held_out: HeldOut | None = None,
    bounds: PrecisionBounds | None = None,
) -> BundleRef:
    """Write a bundle, whole or not at all, and return its pinned reference.

    Args:
        golden_keys: (G, C) int64, rows whose scores every later load must give again; a few hostile
            rows (unknown keys, NaN, infinite values) are added.
        golden_values: (G, V) float32.
        compiled: False leaves the compiled package out (it takes 10 s or more to make).
        precision: `bf16` compiles the linear layers in it, if what that changes on `held_out` is
            within `bounds`; the portable export stays float32.

    Raises:
        PrecisionRefused: the lower precision changes too much; nothing was saved.
        BundleInvalid: the directory exists already: bundles are never overwritten.
    """
    final, bounds = Path(directory), bounds or PrecisionBounds()
    if precision != "f32" and (held_out is None or not compiled):
        raise ConfigInvalid("bundle", "precision", precision, "needs held_out rows and compiled")
    if final.exists():
        raise BundleInvalid(
            f"{final} exists already; a bundle is never overwritten: choose another"
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        ranker = trained.module.cpu().eval()
        _save_tensors(ranker, building)
        golden = golden_rows(golden_keys, golden_values)
        save_golden(ranker, golden, building / "golden.safetensors")
        program = compiling.export(ranker)
        compiling.save_portable(program, building / "model.pt2")
        info, report = None, None
        if compiled and (held_out is None or precision == "f32"):
            info = compiling.package(program, building / COMPILED)
        elif compiled and held_out is not None:
            low = lowered(ranker, len(signature.labels))
            info, report = _package_lowered(
                ranker, low, building, held_out, bounds, signature.labels
            )
        (building / "signature.json").write_text(signature.to_json())
        (building / "metrics.json").write_text(_json(metrics))
        manifest = {
            "format": FORMAT,
            "model": trained.spec_name,
            "config": registry.config_to_json(trained.model_config),
            "sizes": list(trained.vocabulary.sizes),
            "torch": torch.__version__,
            "compiled": asdict(info) if info else None,
            "precision": asdict(report) if report else None,
            "tolerance": bounds.score if report else compiling.TOLERANCE_F32,
            "encoding_digest": encoding_digest,
            "data": data,
            "files": {f.name: sha256(f) for f in sorted(building.iterdir())},
        }
        (building / MANIFEST).write_text(_json(manifest))
        _sync(building)
        os.rename(building, final)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    digest = sha256(final / MANIFEST)
    log.info("saved bundle=%s digest=%s model=%s", final, digest, trained.spec_name)
    return BundleRef(final, digest)


def load(directory: Path | str, expected_digest: str | None = None) -> Bundle:
    """Return a bundle whose every byte was verified and whose golden rows score as they did.

    A compiled package that cannot run here is passed over for the portable export, with a warning;
    `Bundle.engine` says which one scores.

    Raises:
        BundleTampered: a file, or the manifest, is not the one that was pinned.
        BundleInvalid: a file is missing or strange, or a golden row scores differently.
    """
    path = Path(directory)
    manifest, digest = verify(path, expected_digest)
    signature = Signature.from_json((path / "signature.json").read_text())
    table, slots = load_tables(path)
    engine, code = _scoring_code(path, manifest)
    bundle = Bundle(
        path=path,
        digest=digest,
        signature=signature,
        manifest=manifest,
        metrics=json.loads((path / "metrics.json").read_text()),
        engine=engine,
        table=table,
        slots=slots,
        code=code,
    )
    check_golden(path / "golden.safetensors", bundle.logits, manifest["tolerance"], engine)
    log.info("loaded bundle=%s digest=%s engine=%s", path, digest, engine)
    return bundle


def verify(path: Path, expected_digest: str | None = None) -> tuple[dict[str, Any], str]:
    """Return (manifest, digest) after checking every file of a bundle against its sha256.

    Raises:
        BundleTampered: a digest differs.
        BundleInvalid: a file is missing, unknown, or not a plain file.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise BundleInvalid(f"{path}: no {MANIFEST}; this is not a bundle. Check the path")
    raw = manifest_path.read_bytes()
    digest = hashlib.sha256(raw).hexdigest()
    if expected_digest is not None and digest != expected_digest:
        raise BundleTampered(manifest_path, digest, expected_digest)
    manifest = _parse_manifest(manifest_path, raw)
    _check_names(path, frozenset(manifest["files"]))
    for name, expected in sorted(manifest["files"].items()):
        found = sha256(path / name)
        if found != expected:
            raise BundleTampered(path / name, found, expected)
    return manifest, digest


def load_tables(path: Path) -> tuple[Tensor, Tensor]:
    """Return (embedding table (R, E) float32, vocabulary slots (S, 8) int64), memory-mapped."""
    with safe_open(path / "tables.safetensors", framework="pt") as tables:
        return tables.get_tensor("table"), tables.get_tensor("slots")


def load_eager(directory: Path | str, expected_digest: str | None = None) -> Ranker:
    """Return the model as a module in eval mode, to explain it or to go on training."""
    path = Path(directory)
    manifest, _ = verify(path, expected_digest)
    signature = Signature.from_json((path / "signature.json").read_text())
    table, slots = load_tables(path)
    with safe_open(path / "weights.safetensors", framework="pt") as weights:
        dense = {name: weights.get_tensor(name) for name in weights.keys()}
    # The lookup holds what is of a field once for each of its columns.
    of_field = [signature.column_fields.index(f) for f in range(len(signature.vocabulary_fields))]
    vocabulary = Vocabulary(
        fields=signature.vocabulary_fields,
        sizes=tuple(manifest["sizes"]),
        slots=slots.numpy(),
        base=dense["lookup.base"].numpy()[of_field],
        mask=dense["lookup.mask"].numpy()[of_field],
        mix=dense["lookup.mix"].numpy(),
    )
    config = registry.config_from_json(manifest["model"], manifest["config"])
    ranker = registry.get(manifest["model"]).build(config, signature, vocabulary)
    # A bundle of before has neither: its logits are what its head gives.
    for name in ("scale", "shift"):
        dense.setdefault(name, getattr(ranker.dense, name))
    ranker.dense.load_state_dict(dense)
    with torch.no_grad():
        ranker.table.copy_(table)
    return ranker.eval()


def sha256(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _package_lowered(
    ranker: Ranker,
    low_ranker: Ranker,
    building: Path,
    held_out: HeldOut,
    bounds: PrecisionBounds,
    names: Sequence[str],
) -> tuple[compiling.CompiledInfo | None, PrecisionReport | None]:
    """Compile in bf16 and return what the guard measured, the compiled code against eager."""
    path = building / COMPILED
    info = compiling.package(compiling.export(low_ranker), path, precision="bf16")
    if info is None:
        return None, None
    code = compiling.load_package(path)
    table, slots = ranker.table.detach(), ranker.slots

    def logits(keys_BC: Tensor, values_BV: Tensor) -> Tensor:
        return code(keys_BC.contiguous(), values_BV.contiguous(), table, slots)

    found: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for keys, values, labels in held_out():
            for start in range(0, len(keys), _GUARD_ROWS):
                part = slice(start, start + _GUARD_ROWS)
                rows = torch.from_numpy(keys[part]), torch.from_numpy(values[part])
                scored = (torch.sigmoid(score(*rows)).numpy() for score in (ranker, logits))
                found.append(np.stack([labels[part], *scored]))
    reports = []
    for name, columns in zip(names, np.concatenate(found, axis=1).transpose(2, 0, 1), strict=True):
        own, full, low = labelled(*columns)
        reports.append(measure(own, full, low, name))
        refuse_beyond(reports[-1], bounds, "bf16", name)
    check_golden(building / "golden.safetensors", logits, bounds.score, "aoti bf16")
    return info, worst(reports)


def _scoring_code(path: Path, manifest: dict[str, Any]) -> tuple[Engine, compiling.ScoringCode]:
    if manifest["compiled"] is not None:
        reason = compiling.why_not_here(compiling.CompiledInfo(**manifest["compiled"]))
        if reason is None:
            try:
                return "aoti", compiling.load_package(path / COMPILED)
            except (RuntimeError, OSError) as error:
                reason = f"it failed to load: {error}"
        log.warning("bundle=%s engine=export: compiled package not used: %s", path, reason)
    return "export", compiling.load_portable(path / "model.pt2")


def _parse_manifest(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(raw)
        if manifest["format"] != FORMAT:
            raise BundleInvalid(f"{path}: format {manifest['format']}; this code reads {FORMAT}")
        if not isinstance(manifest["files"], dict):
            raise BundleInvalid(f"{path}: files must be an object of name: sha256")
    except (ValueError, KeyError, TypeError) as error:
        raise BundleInvalid(f"{path}: cannot be read: {error!r}. Restore the bundle") from error
    return manifest


def _check_names(path: Path, listed: frozenset[str]) -> None:
    found = {entry.name for entry in path.iterdir()} - {MANIFEST}
    if missing := sorted((REQUIRED | listed) - found):
        raise BundleInvalid(f"{path}: missing {', '.join(missing)}. Restore the bundle")
    if unknown := sorted((found - listed) | (listed - REQUIRED - {COMPILED})):
        raise BundleInvalid(
            f"{path}: unknown {', '.join(unknown)}. Remove what is not the bundle's"
        )
    for name in sorted(found | {MANIFEST}):
        if (path / name).is_symlink() or not (path / name).is_file():
            raise BundleInvalid(f"{path / name}: must be a plain file. Copy the bundle whole")


def _save_tensors(ranker: Ranker, directory: Path) -> None:
    dense = {name: t.detach().contiguous() for name, t in ranker.dense.state_dict().items()}
    save_file(dense, directory / "weights.safetensors")
    tables = {"table": ranker.table.detach().contiguous(), "slots": ranker.slots.contiguous()}
    save_file(tables, directory / "tables.safetensors")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False)


def _sync(directory: Path) -> None:
    """Make what was written durable, and readable: scoring may run as another user."""
    for entry in (*directory.iterdir(), directory):
        entry.chmod(0o755 if entry == directory else 0o644)
        handle = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
