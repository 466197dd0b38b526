"""A lower precision is used only where it was measured to change next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConfigInvalid, InputInvalid, PrecisionRefused
from models.scoring import bundle as bundles
from models.scoring.bundle import BundleRef
from models.scoring.precision import (
    PrecisionBounds,
    PrecisionReport,
    measure,
    refuse_beyond,
)
from models.scoring.predict import Predictor
from models.training.data import Rows
from tests.unit.models.conftest import NEEDS_COMPILER, SIGNATURE, Zoo, sample

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROWS = sample(2000, seed=11)


def held_out() -> Iterator[Rows]:
    """The rows in two parts."""
    yield ROWS.take(slice(1500))
    yield ROWS.take(slice(1500, None))


WITHIN = PrecisionReport(rows=100, auc=0.0, logloss=0.0, rank=0.0, score=0.0)


def save_low(zoo: Zoo, path: Path, **options: object) -> BundleRef:
    golden = sample(16, seed=7)
    return bundles.save(
        path, zoo["dcnv2"].trained, signature=SIGNATURE, metrics={}, data={}, encoding_digest="",
        golden_keys=golden.keys, golden_values=golden.values, precision="bf16",
        **options,  # type: ignore[arg-type]
    )  # fmt: skip


@NEEDS_COMPILER
@pytest.mark.slow
def test_bf16_scores_within_its_bounds_or_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    ref = save_low(zoo, tmp_path / "low", held_out=held_out)
    loaded = bundles.load(ref.path, ref.digest)
    report = loaded.manifest["precision"]
    assert report["rows"] == 2000
    assert 0 < report["score"] <= PrecisionBounds().score
    full = Predictor(zoo["dcnv2"].bundle).predict(ROWS.keys, ROWS.values)
    low = Predictor(loaded).predict(ROWS.keys, ROWS.values)
    assert np.abs(full - low).max() <= PrecisionBounds().score
    with pytest.raises(PrecisionRefused, match="score changes by"):
        save_low(zoo, tmp_path / "none", held_out=held_out, bounds=PrecisionBounds(score=0.0))
    assert [p.name for p in tmp_path.iterdir()] == ["low"]


def test_bf16_without_held_out_rows_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="held_out"):
        save_low(zoo, tmp_path / "b")


def test_the_guard_measures_what_changed() -> None:
    labels = np.array([0, 1] * 100, np.float32)
    full = np.linspace(0.1, 0.9, 200, dtype=np.float32)
    same = measure(labels, full, full)
    assert (same.auc, same.logloss, same.score) == (0, 0, 0)
    assert same.rank == pytest.approx(0)
    turned = measure(labels, full, 1 - full)
    assert turned.rank == pytest.approx(2)
    assert turned.score == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["auc", "logloss", "rank", "score"])
@pytest.mark.parametrize("change", [1.0, float("nan")])
def test_each_change_beyond_its_bound_is_refused_by_name(name: str, change: float) -> None:
    refuse_beyond(WITHIN, PrecisionBounds(), "bf16")
    values = {"rows": 100, "auc": 0.0, "logloss": 0.0, "rank": 0.0, "score": 0.0, name: change}
    with pytest.raises(PrecisionRefused, match=name):
        refuse_beyond(PrecisionReport(**values), PrecisionBounds(), "bf16")  # type: ignore[arg-type]


def test_too_few_rows_measure_nothing() -> None:
    few = np.array([0, 1], np.float32)
    with pytest.raises(InputInvalid, match="at least 100"):
        measure(few, few, few)
