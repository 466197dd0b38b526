"""Fields of several categories in a row: pooled, padded, sharing vectors, saved and loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models import registry
from models.errors import ConfigInvalid, VocabularyError
from models.layers.pooling import Pooling
from models.scoring import bundle as bundles
from models.scoring.predict import Predictor
from models.signature import ListField, Signature
from models.training.config import TrainConfig
from models.training.data import Rows, read_all
from models.training.trainer import train
from models.vocabulary import KeyCounts
from tests.unit.models.conftest import save, small, write

LISTS = Signature(
    categorical=("user", "item"), numeric=("price",), labels=("click",),
    lists=(
        ListField(name="bought", length=3, like="item", has_ages=True),
        ListField(name="tags", length=2),
    ),
)  # fmt: skip
WORDS = np.random.default_rng(3).integers(1, 2**62, 12, dtype=np.int64)


def rows_of(count: int, seed: int = 0) -> Rows:
    """Rows whose label is whether the item is among those bought before."""
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 6, count)
    bought = rng.integers(0, 6, (count, 3))
    length = rng.integers(0, 4, count)
    is_there = np.arange(3) < length[:, None]
    keys = np.zeros((count, 7), np.int64)
    keys[:, 0] = WORDS[rng.integers(0, 12, count)]
    keys[:, 1] = WORDS[items]
    keys[:, 2:5] = np.where(is_there, WORDS[bought], 0)
    keys[:, 5] = WORDS[6 + rng.integers(0, 6, count)]
    values = np.empty((count, 4), np.float32)
    values[:, 0] = rng.normal(50, 10, count)
    values[:, 1:] = np.where(is_there, rng.integers(1, 30, (count, 3)), np.nan)
    hit = ((bought == items[:, None]) & is_there).any(1)
    return Rows(keys, values, hit.astype(np.float32)[:, None], np.ones(count, np.float32))


def test_a_mean_of_what_is_there_in_which_what_is_older_counts_less() -> None:
    vectors = torch.arange(12.0).reshape(2, 3, 2)
    keys = torch.tensor([[5, 7, 0], [0, 0, 0]])
    ages = torch.tensor([[1.0, 3.0, float("nan")], [float("nan")] * 3])
    plain = Pooling(has_ages=False)(vectors, keys, None)
    torch.testing.assert_close(plain, torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    pooling = Pooling(has_ages=True)
    torch.testing.assert_close(pooling(vectors, keys, ages), plain)
    assert pooling.decay is not None
    with torch.no_grad():
        pooling.decay.fill_(1.0)
    # Shares of 1/2 and 1/4, of 3/4 together.
    torch.testing.assert_close(
        pooling(vectors, keys, ages), torch.tensor([[2 / 3, 5 / 3], [0.0, 0.0]])
    )
    strange = torch.tensor([[float("inf"), float("-inf"), 0.0], [3e38, -3e38, 1.0]])
    assert bool(torch.isfinite(pooling(vectors, keys, strange)).all())


def test_keys_of_a_list_count_for_the_field_it_is_like_and_padding_does_not() -> None:
    counts = KeyCounts(LISTS.categorical, LISTS.lists)
    counts.update(np.array([[1, 2, 2, 3, 0, 9, 0], [0, 2, 0, 0, 0, 9, 8]], np.int64))
    told = {
        field: dict(zip(keys.tolist(), times.tolist(), strict=True))
        for field, (keys, times) in zip(counts.fields, counts.settle(), strict=True)
    }
    # A category that is missing has the key 0, and is one.
    assert told == {"user": {0: 1, 1: 1}, "item": {2: 3, 3: 1}, "tags": {8: 1, 9: 2}}
    with pytest.raises(VocabularyError, match=r"must be int64 \(rows, 7\)"):
        counts.update(np.zeros((2, 2), np.int64))


@pytest.mark.parametrize(
    ("lists", "rule"),
    [
        ((ListField(name="tags", length=0),), "needs a length"),
        ((ListField(name="tags", length=2, like="place"),), "which is no categorical field"),
        ((ListField(name="tags", length=2), ListField(name="tags", length=1)), "only once"),
    ],
)
def test_a_list_that_cannot_be_is_refused(lists: tuple[ListField, ...], rule: str) -> None:
    with pytest.raises(ConfigInvalid, match=rule):
        Signature(categorical=("user",), numeric=(), labels=("click",), lists=lists)


def test_every_model_takes_lists_and_padding_is_worth_nothing(model: str) -> None:
    vocabulary = KeyCounts(LISTS.categorical, LISTS.lists)
    data = rows_of(64)
    vocabulary.update(data.keys)
    ranker = registry.get(model).build(small(model), LISTS, vocabulary.fit()).eval()
    keys, values = torch.from_numpy(data.keys), torch.from_numpy(data.values)
    with torch.no_grad():
        logits = ranker(keys, values)
        assert logits.shape == (64, 1)
        # The order of a list's values, and what stands where there is none, change nothing.
        order = [0, 1, 4, 2, 3, 6, 5]
        ages = values[:, [0, 3, 1, 2]].clone()
        ages[torch.isnan(ages)] = 12.0
        torch.testing.assert_close(ranker(keys[:, order], ages), logits, atol=1e-6, rtol=1e-5)
        # What was bought, and which tag, do.
        other = keys.clone()
        other[:, 2:] = 0
        trained = ranker.table
        trained.normal_()
        assert (ranker(other, values) - ranker(keys, values)).abs().max() > 0


def test_what_lists_tell_is_learned_saved_and_scored(tmp_path: Path) -> None:
    train_files = write(rows_of(4000), tmp_path / "train.parquet", LISTS)
    valid_files = write(rows_of(1000, seed=1), tmp_path / "valid.parquet", LISTS)
    config = TrainConfig(epochs=12, batch_size=128, learning_rate=0.02, device="cpu")
    trained = train("fm", small("fm"), LISTS, train_files, valid_files, config)
    # The item and what was bought share vectors: their product says whether it is among them.
    assert trained.metrics["auc"] > 0.95
    again = read_all(valid_files, LISTS)
    assert again.keys.shape[1] == 7
    ref = save(trained, tmp_path / "bundle")
    loaded = bundles.load(ref.path, ref.digest)
    assert loaded.signature == LISTS
    scores = Predictor(loaded).predict(again.keys, again.values)
    eager = bundles.load_eager(ref.path, ref.digest)
    with torch.no_grad():
        wanted = torch.sigmoid(eager(torch.from_numpy(again.keys), torch.from_numpy(again.values)))
    np.testing.assert_allclose(scores, wanted.numpy()[:, 0], atol=1e-5)
    assert eager.state_dict().keys() == trained.module.state_dict().keys()
