"""A bundle is whole or refused: every byte of it is pinned, and it scores as it did."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.errors import BundleInvalid, BundleTampered, InputInvalid
from models.scoring import bundle as bundles
from models.scoring import compile as compiling
from models.scoring.bundle import BundleRef, sha256
from models.scoring.predict import Predictor
from tests.unit.models.conftest import NEEDS_COMPILER, SIGNATURE, Saved, Zoo, sample, save

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FILES = (
    "golden.safetensors", "metrics.json", "model.pt2", "signature.json", "tables.safetensors",
    "weights.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def saved(zoo: Zoo) -> Saved:
    return zoo["dcnv2"]


@pytest.fixture
def copy(saved: Saved, tmp_path: Path) -> BundleRef:
    """A private copy of the compiled bundle."""
    return BundleRef(shutil.copytree(saved.ref.path, tmp_path / "copy"), saved.ref.digest)


def repin(path: Path, **changes: object) -> str:
    """Write a manifest that matches what is there now; return the new digest."""
    manifest = json.loads((path / "manifest.json").read_text())
    files = {f.name: sha256(f) for f in path.iterdir() if f.name != "manifest.json"}
    (path / "manifest.json").write_text(json.dumps({**manifest, "files": files, **changes}))
    return sha256(path / "manifest.json")


def test_a_bundle_holds_what_it_was_given(saved: Saved) -> None:
    loaded = saved.bundle
    assert loaded.model == "dcnv2"
    assert loaded.signature == SIGNATURE
    assert loaded.digest == saved.ref.digest == sha256(saved.ref.path / "manifest.json")
    assert loaded.encoding_digest == "e" * 64
    assert loaded.data == {"features": {"2013-01-01": 3}}
    assert loaded.metrics["auc"] == pytest.approx(saved.trained.metrics["auc"])


def test_nothing_in_a_bundle_is_pickled(saved: Saved) -> None:
    assert {f.name for f in saved.ref.path.iterdir()} >= {*FILES, "manifest.json"}
    compiling.refuse_pickles(saved.ref.path / "model.pt2")


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    "name", [*FILES, "manifest.json", pytest.param("compiled.pt2", marks=NEEDS_COMPILER)]
)
def test_a_changed_byte_is_refused_by_name_before_anything_is_loaded(
    copy: BundleRef, name: str, where: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: object, **kwargs: object) -> None:
        pytest.fail("something was loaded from a bundle that was not verified")

    for loader in ("load_package", "load_portable"):
        monkeypatch.setattr(compiling, loader, forbidden)
    monkeypatch.setattr(bundles, "safe_open", forbidden)
    file = copy.path / name
    content = bytearray(file.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleTampered, match=name.replace(".", r"\.")):
        bundles.load(copy.path, copy.digest)


@pytest.mark.parametrize("change", ["truncate", "extend"])
def test_a_file_of_another_length_is_refused(copy: BundleRef, change: str) -> None:
    file = copy.path / "weights.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] if change == "truncate" else content + b"\0")
    with pytest.raises(BundleTampered, match="weights"):
        bundles.load(copy.path)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_refused_by_name(copy: BundleRef, name: str) -> None:
    (copy.path / name).unlink()
    with pytest.raises(BundleInvalid, match=name):
        bundles.load(copy.path, copy.digest)


def test_an_unknown_file_or_a_link_is_refused(copy: BundleRef, tmp_path: Path) -> None:
    extra = copy.path / "extra.pkl"
    extra.write_bytes(b"x")
    with pytest.raises(BundleInvalid, match=r"extra\.pkl"):
        bundles.load(copy.path, copy.digest)
    extra.unlink()
    shutil.move(copy.path / "metrics.json", tmp_path / "elsewhere.json")
    (copy.path / "metrics.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleInvalid, match="plain file"):
        bundles.load(copy.path, copy.digest)


def test_a_manifest_cannot_list_a_file_of_its_own_choice(copy: BundleRef) -> None:
    (copy.path / "evil.so").write_bytes(b"x")
    with pytest.raises(BundleInvalid, match=r"evil\.so"):
        bundles.load(copy.path, repin(copy.path))


def test_a_whole_swap_is_refused_by_the_pinned_digest(copy: BundleRef) -> None:
    with pytest.raises(BundleTampered, match="manifest"):
        bundles.load(copy.path, "0" * 64)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", '{"format": 99}', '{"format": 1}'])
def test_an_unreadable_manifest_is_refused(copy: BundleRef, manifest: str) -> None:
    (copy.path / "manifest.json").write_text(manifest)
    with pytest.raises(BundleInvalid, match="manifest"):
        bundles.load(copy.path)


def test_a_golden_row_that_scores_differently_is_named(copy: BundleRef) -> None:
    golden = load_file(copy.path / "golden.safetensors")
    golden["expected"][3, 1] += 1e-3
    save_file(golden, copy.path / "golden.safetensors")
    with pytest.raises(BundleInvalid, match="golden row 3 label 1 scores"):
        bundles.load(copy.path, repin(copy.path))


@pytest.mark.parametrize(
    "change", [{"machine": "riscv64"}, {"torch": "1.0.0"}], ids=["machine", "torch"]
)
@NEEDS_COMPILER
def test_a_package_for_another_machine_falls_back_to_the_export(
    copy: BundleRef, saved: Saved, change: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    manifest = json.loads((copy.path / "manifest.json").read_text())
    digest = repin(copy.path, compiled={**manifest["compiled"], **change})
    with caplog.at_level(logging.WARNING, logger="models.scoring.bundle"):
        loaded = bundles.load(copy.path, digest)
    assert saved.bundle.engine == "aoti"
    assert loaded.engine == "export"
    assert "engine=export" in caplog.text
    rows = sample(50)
    np.testing.assert_allclose(
        Predictor(loaded).predict(rows.keys, rows.values),
        Predictor(saved.bundle).predict(rows.keys, rows.values),
        atol=1e-5,
    )


@NEEDS_COMPILER
def test_a_cpu_without_the_instructions_falls_back(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "cpu_flags", lambda: compiling.V3_FLAGS - {"avx2"})
    if saved.bundle.manifest["compiled"]["isa"] == compiling.X86_64_V3:
        assert bundles.load(saved.ref.path).engine == "export"


@NEEDS_COMPILER
def test_a_package_that_does_not_load_falls_back(copy: BundleRef) -> None:
    (copy.path / "compiled.pt2").write_bytes(b"not a package")
    assert bundles.load(copy.path, repin(copy.path)).engine == "export"


def test_an_archive_with_a_pickle_is_refused(copy: BundleRef) -> None:
    torch.save([1], copy.path / "model.pt2")
    with pytest.raises(BundleInvalid, match=r"model\.pt2"):
        compiling.load_portable(copy.path / "model.pt2")


def test_a_bundle_is_never_overwritten_and_never_left_half(
    zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = save(zoo.trained("lr"), tmp_path / "bundle")
    with pytest.raises(BundleInvalid, match="exists already"):
        save(zoo.trained("lr"), ref.path)
    monkeypatch.setattr(compiling, "export", lambda ranker: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(zoo.trained("lr"), tmp_path / "other")
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_golden_rows_are_needed(zoo: Zoo, tmp_path: Path) -> None:
    trained, none = zoo.trained("lr"), sample(0)
    with pytest.raises(InputInvalid, match="golden"):
        bundles.save(
            tmp_path / "b", trained, signature=SIGNATURE, metrics={}, data={}, encoding_digest="",
            golden_keys=none.keys, golden_values=none.values, compiled=False,
        )  # fmt: skip


def test_tables_are_mapped_and_not_copied(saved: Saved) -> None:
    tables = str(saved.ref.path / "tables.safetensors")
    bundles.load(saved.ref.path)
    assert tables in Path("/proc/self/maps").read_text()
