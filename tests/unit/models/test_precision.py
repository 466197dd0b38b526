"""A lower precision is used only where it was measured to change next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.errors import ConfigInvalid, InputInvalid, PrecisionRefused
from models.ranker import Ranker
from models.scoring import bundle as bundles
from models.scoring.bundle import BundleRef
from models.scoring.precision import (
    LowLinear,
    PrecisionBounds,
    PrecisionReport,
    lowered,
    measure,
    refuse_beyond,
)
from models.scoring.predict import Predictor
from models.vocabulary import KeyCounts
from tests.unit.models.conftest import NEEDS_COMPILER, SIGNATURE, Zoo, sample

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROWS = sample(2000, seed=11)


def held_out() -> Iterator[tuple[NDArray[Any], ...]]:
    """The rows in two parts."""
    yield ROWS.take(slice(1500))[:3]
    yield ROWS.take(slice(1500, None))[:3]


NOTHING = dict.fromkeys(("auc", "logloss", "rank", "score", "top", "ties"), 0.0)
WITHIN = PrecisionReport(rows=100, **NOTHING)


def save_low(zoo: Zoo, path: Path, **options: object) -> BundleRef:
    golden = sample(16, seed=7)
    return bundles.save(
        path, zoo.trained("dcnv2"), signature=SIGNATURE, metrics={}, data={}, encoding_digest="",
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
    same = measure(labels, full, full, "click")
    assert (same.auc, same.logloss, same.score) == (0, 0, 0)
    assert same.rank == pytest.approx(0)
    assert (same.top, same.ties) == (0, 0)
    turned = measure(labels, full, 1 - full, "click")
    assert turned.rank == pytest.approx(2)
    assert turned.score == pytest.approx(0.8)
    assert turned.top == 1


def test_the_guard_sees_a_top_that_is_left_without_order() -> None:
    """Of 20,000 rows a correlation says nothing: only the 200 that are acted upon are rounded."""
    full = np.linspace(0.01, 0.9, 20_000, dtype=np.float32)
    labels = np.array([0, 1] * 10_000, np.float32)
    low = np.where(full > 0.88, np.float32(0.88) + np.round(full - 0.88, 2), full)
    report = measure(labels, full, low, "click")
    assert report.rank < PrecisionBounds().rank
    assert report.score < PrecisionBounds().score
    assert report.ties > 0.9
    with pytest.raises(PrecisionRefused, match=r"top|ties"):
        refuse_beyond(report, PrecisionBounds(), "bf16", "click")


class Attentive(nn.Module):
    """A head of parts that torch or its author begin in their own way."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.gate = nn.Linear(4, 4, bias=False)
        self.shift = nn.Linear(4, 4)
        nn.init.constant_(self.shift.bias, 3.0)
        self.out = nn.Linear(4, 2)

    def forward(self, fields_BFE: Tensor, scaled_BN: Tensor) -> Tensor:
        """Return logits (B, 2)."""
        mixed, _ = self.attention(fields_BFE, fields_BFE, fields_BFE)
        return self.out(self.gate(mixed.sum(1)) * torch.sigmoid(self.shift(fields_BFE[:, 0])))


def test_any_head_begins_as_it_was_made_and_can_be_lowered_but_for_its_last_layer() -> None:
    counts, data = KeyCounts(SIGNATURE.categorical), sample(8)
    counts.update(data.keys)
    ranker = Ranker(signature=SIGNATURE, vocabulary=counts.fit(), width=4, head=Attentive()).eval()
    assert ranker.dense.head.shift.bias.tolist() == [3.0] * 4
    low = lowered(ranker, labels=2)
    assert isinstance(low.dense.head.gate, LowLinear)
    assert type(low.dense.head.out) is nn.Linear
    keys, values = torch.from_numpy(data.keys), torch.from_numpy(data.values)
    full_BT, low_BT = ranker(keys, values), low(keys, values)
    assert low_BT.dtype == torch.float32
    assert torch.allclose(full_BT, low_BT, atol=0.02)
    assert not torch.equal(full_BT, low_BT)


@pytest.mark.parametrize("name", sorted(NOTHING))
@pytest.mark.parametrize("change", [1.0, float("nan")])
def test_each_change_beyond_its_bound_is_refused_by_name(name: str, change: float) -> None:
    refuse_beyond(WITHIN, PrecisionBounds(), "bf16", "click")
    report = PrecisionReport(rows=100, **{**NOTHING, name: change})
    with pytest.raises(PrecisionRefused, match=name):
        refuse_beyond(report, PrecisionBounds(), "bf16", "click")


def test_too_few_rows_measure_nothing() -> None:
    few = np.array([0, 1], np.float32)
    with pytest.raises(InputInvalid, match="at least 100"):
        measure(few, few, few, "click")
