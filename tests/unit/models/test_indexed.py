"""Keys looked up once beforehand, and products in bf16: the same model, sooner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models import registry
from models.errors import ConfigInvalid
from models.registry import MODELS
from models.training.config import TrainConfig
from models.training.data import Rows, TrainingFiles
from models.training.feed import Feed
from models.training.indexed import Indexer, takes_indexed
from models.training.trainer import train
from models.vocabulary import KeyCounts, build, known_keys
from tests.unit.models.conftest import SIGNATURE, Sets, small
from tests.unit.models.test_lists import LISTS, rows_of

pytest.importorskip("petastorm", reason="petastorm is not installed")
QUICK = TrainConfig(epochs=2, batch_size=256, learning_rate=0.01, device="cpu")


def test_what_is_looked_up_beforehand_scores_as_its_keys_do() -> None:
    rows = rows_of(300)
    rows.keys[::7, 0] = 0  # missing
    rows.keys[::5, 1] = 99  # never seen
    counts = KeyCounts(LISTS.categorical, LISTS.lists)
    counts.update(rows_of(300).keys)
    known = [known_keys(keys, count, 1) for keys, count in counts.settle()]
    vocabulary = build(LISTS.vocabulary_fields, known)
    ranker = registry.get("dcnv2").build(small("dcnv2"), LISTS, vocabulary).eval()
    with torch.no_grad():
        ranker.table.normal_()
    indexed, values = Indexer(ranker)(rows), torch.from_numpy(rows.values)
    is_list = np.arange(rows.keys.shape[1]) >= 2
    assert ((indexed.keys == 0) == (is_list & (rows.keys == 0))).all()
    expected = ranker(torch.from_numpy(rows.keys), values)
    with takes_indexed(ranker):
        found = ranker(torch.from_numpy(indexed.keys), values)
    assert torch.equal(found, expected)
    assert torch.equal(ranker(torch.from_numpy(rows.keys), values), expected)


@pytest.mark.parametrize("memory_bytes", [0, 1 << 30])
def test_a_feed_does_it_once_to_each_row(sets: Sets, memory_bytes: int) -> None:
    feed = Feed(files=sets.train, signature=SIGNATURE, batch_size=100, memory_bytes=memory_bytes)
    before = _keys(feed)
    feed.prepare(_one_more)
    for _ in range(2):
        np.testing.assert_array_equal(_keys(feed), before + 1)


def _keys(feed: Feed) -> np.ndarray:
    return np.concatenate([keys.numpy() for keys, *_ in feed.batches()])


def _one_more(rows: Rows) -> Rows:
    return rows._replace(keys=rows.keys + 1)


def test_a_trained_model_takes_keys_again(sets: Sets) -> None:
    trained = train("lr", small("lr"), SIGNATURE, sets.train, sets.valid, QUICK)
    feed = Feed(files=sets.valid, signature=SIGNATURE, batch_size=1000)
    ((keys, values, _, _),) = feed.batches()
    logits = trained.module(keys, values)
    assert logits.std() > 0.01
    unseen = trained.module(keys + 12345, values)
    assert not torch.equal(logits, unseen)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_learns_in_bf16_what_it_learns_in_f32(sets: Sets, name: str) -> None:
    plain, trained = (
        train(name, small(name), SIGNATURE, sets.train, sets.valid, replace(QUICK, **changes))
        for changes in ({}, {"training_precision": "bf16"})
    )
    state = trained.module.state_dict()
    floats = {tensor.dtype for tensor in state.values() if tensor.is_floating_point()}
    assert floats == {torch.float32}
    assert all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())
    assert trained.metrics["auc"] == pytest.approx(plain.metrics["auc"], abs=0.05)
    assert trained.metrics["logloss"] == pytest.approx(plain.metrics["logloss"], abs=0.02)


def test_bf16_trains_another_model_and_the_same_each_time(sets: Sets) -> None:
    config = replace(QUICK, training_precision="bf16")
    tables = [
        train("dcnv2", small("dcnv2"), SIGNATURE, sets.train, sets.valid, one).module.table
        for one in (config, config, QUICK)
    ]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])
    assert torch.allclose(tables[0], tables[2], atol=0.05)


def test_a_precision_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="must be one of f32, bf16"):
        TrainConfig(training_precision="f8")  # type: ignore[arg-type]


def test_held_rows_are_not_read_again(sets: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed(files=sets.train, signature=SIGNATURE, batch_size=100)
    before = _keys(feed)
    monkeypatch.setattr(TrainingFiles, "urls", lambda _: [])
    np.testing.assert_array_equal(_keys(feed), before)
