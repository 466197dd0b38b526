"""Promises of the evaluation: read in parts, it gives what all rows at once give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.definition import Gate
from feature_store.errors import NightscoreError
from jobs.training.evaluate import evaluate, evaluate_bundle
from jobs.training.held_out import HeldOutRows, Segment, held_out_rows
from models.fit.frozen import pinned_file
from models.fit.recipe import FitRecipe, FrozenSplit
from models.fit.run import first_rows
from models.ranking import ranking
from models.scoring import predict
from models.signature import Signature

ROWS, GROUP = 5000, 700
SIGNATURE = Signature(categorical=("user", "shop"), numeric=("price",), labels=("click",))
RNG = np.random.default_rng(5)
VALUES = RNG.normal(size=ROWS).astype(np.float32)
LABELS = (RNG.random(ROWS) < 1 / (1 + np.exp(-VALUES))).astype(np.float32)
SHOPS = RNG.integers(-5, 60, ROWS)
CITIES = RNG.choice(np.array(["Ulm", None, "Bonn", "Graz"], object), ROWS, p=[0.1, 0.1, 0.3, 0.5])


@pytest.fixture
def frozen(tmp_path: Path) -> FitRecipe:
    """A set whose evaluation rows lie in two files of several row groups each."""
    keys = np.arange(ROWS, dtype=np.int64)
    table = pa.table(
        {
            "k_user": keys,
            "k_shop": SHOPS,
            "v_price": VALUES,
            "y_click": LABELS,
            "s_city": pa.array(CITIES),
        }
    )
    files = [str(tmp_path / name) for name in ("a.parquet", "b.parquet")]
    for file, part in zip(files, (table.slice(0, 2600), table.slice(2600)), strict=True):
        pq.write_table(part, file, row_group_size=GROUP)
    pinned = tuple(pinned_file(str(tmp_path), file) for file in files)
    splits = {
        "train": FrozenSplit(files=pinned, labels={"click": (ROWS, ROWS // 4)}),
        "eval": FrozenSplit(files=pinned, labels={"click": (ROWS, int(LABELS.sum()))}),
    }
    return FitRecipe(
        key="k", pipeline="p", reference="lr", model="lr", module="m", code="c", torch="t",
        config={}, train={}, precision="f32", compiled=False, signature=SIGNATURE, encoding="e",
        location=str(tmp_path), splits=splits, data={},
    )  # fmt: skip


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows a predictor was given at a time; its score is the price's logistic."""
    given: list[int] = []

    class Price:
        def __init__(self, _: object) -> None:
            pass

        def predict_all(self, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
            given.append(len(keys))
            return (1 / (1 + np.exp(-values[:, :1]))).astype(np.float32)

    monkeypatch.setattr(predict, "Predictor", Price)
    return given


def held_out(frozen: FitRecipe) -> HeldOutRows:
    return held_out_rows(frozen, "eval", ("city",))


def test_rows_read_in_parts_give_the_figures_of_all_at_once(
    frozen: FitRecipe, seen: list[int]
) -> None:
    bundle: Any = SimpleNamespace(signature=SIGNATURE)
    gate = Gate(min_segment_rows=600, rank_within="shop", rank_k=3)
    found = evaluate_bundle(bundle, held_out(frozen), gate)["click"]
    scores = (1 / (1 + np.exp(-VALUES))).astype(np.float32)
    whole = evaluate(
        LABELS, scores, base_rate=0.25, segments={"city": Segment.of(CITIES)}, min_segment_rows=600,
        entities=SHOPS, rank_k=3,
    )  # fmt: skip
    assert found.metrics() == whole.metrics()
    assert found.ranking == ranking(LABELS, scores, SHOPS, 3)
    assert {"auc_within", "ndcg_at_3", "recall_at_3"} <= set(found.metrics())
    assert found.segments == whole.segments
    assert [segment.value for segment in found.segments] == ["Graz", "Bonn"]
    np.testing.assert_array_equal(found.scores, scores)
    assert sum(seen) == ROWS
    assert max(seen) <= GROUP, "more than a row group of features was held"
    assert (found.labels.dtype, found.scores.dtype) == (np.float32, np.float32)


def test_segments_in_another_order_than_the_rows_are_refused(
    frozen: FitRecipe, seen: list[int]
) -> None:
    right = held_out(frozen)
    turned = replace(right, files=replace(right.files, files=right.files.files[:1], rows=2600))
    bundle: Any = SimpleNamespace(signature=SIGNATURE)
    with pytest.raises(NightscoreError, match="were read in two orders"):
        evaluate_bundle(bundle, turned, Gate(min_segment_rows=600))


@pytest.mark.parametrize("count", [1, 64, GROUP + 1, ROWS, ROWS + 1])
def test_the_first_rows_are_the_first_of_the_files(frozen: FitRecipe, count: int) -> None:
    rows = first_rows(held_out(frozen).files, frozen, count)
    np.testing.assert_array_equal(rows.keys[:, 0], np.arange(min(count, ROWS)))


def test_a_segment_holds_a_number_per_row_and_its_words_once() -> None:
    segment = Segment.of(["b", None, "a", "b", "b", "a"])
    assert segment.words == ("", "a", "b")
    assert segment.codes.tolist() == [2, 0, 1, 2, 2, 1]
    assert [(word, int(mask.sum())) for word, mask in segment.masks(1)] == [
        ("b", 3), ("a", 2), ("", 1),
    ]  # fmt: skip
    assert [word for word, _ in segment.masks(3)] == ["b"]
    assert list(Segment.of([]).masks(1)) == []
