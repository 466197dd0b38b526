"""What every registered model must do: export, compile, and score the same in all its forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.scoring import bundle as bundles
from models.scoring.predict import Predictor
from models.training.feed import to_tensors
from tests.unit.models.conftest import SIGNATURE, Zoo, sample

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def predictor_of(zoo: Zoo, model: str, form: str) -> Predictor:
    bundle = (zoo.portable(model) if form == "export" else zoo[model]).bundle
    assert bundle.engine == form
    return Predictor(bundle)


def eager(zoo: Zoo, model: str, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        logits = zoo.trained(model).module(torch.from_numpy(keys), torch.from_numpy(values))
    return torch.sigmoid(logits).numpy()


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_compiled_scores_are_eager_scores(zoo: Zoo, model: str, form: str, rows: int) -> None:
    data = sample(rows, seed=3)
    scores = predictor_of(zoo, model, form).predict_all(data.keys, data.values)
    assert scores.shape == (rows, len(SIGNATURE.labels))
    assert np.abs(scores - eager(zoo, model, data.keys, data.values)).max() <= 1e-5


def test_an_empty_batch_has_no_scores(zoo: Zoo, model: str, form: str) -> None:
    data = sample(0)
    assert predictor_of(zoo, model, form).predict(data.keys, data.values).shape == (0,)


def test_hostile_rows_score_within_bounds_and_as_eager(zoo: Zoo, model: str, form: str) -> None:
    keys = np.random.default_rng(5).integers(-(2**63), 2**63 - 1, (64, 3), dtype=np.int64)
    keys[:4] = [[0] * 3, [-(2**63)] * 3, [2**63 - 1] * 3, [-1] * 3]
    extremes = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, 0], np.float32)
    values = np.random.default_rng(6).choice(extremes, (64, 2))
    scores = predictor_of(zoo, model, form).predict_all(keys, values)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert np.abs(scores - eager(zoo, model, keys, values)).max() <= 1e-5


def test_a_row_scores_the_same_in_any_batch_and_memory_layout(
    zoo: Zoo, model: str, form: str
) -> None:
    data = sample(300, seed=4)
    predictor = predictor_of(zoo, model, form)
    whole = predictor.predict(data.keys, data.values)
    fortran = predictor.predict(np.asfortranarray(data.keys), np.asfortranarray(data.values))
    every_second = predictor.predict(data.keys[::2], data.values[::2])
    np.testing.assert_array_equal(whole, fortran)
    np.testing.assert_allclose(every_second, whole[::2], atol=1e-6)
    frozen_keys, frozen_values = data.keys.copy(), data.values.copy()
    frozen_keys.flags.writeable = frozen_values.flags.writeable = False
    np.testing.assert_array_equal(predictor.predict(frozen_keys, frozen_values), whole)


def test_the_rebuilt_eager_model_is_the_trained_one(zoo: Zoo, model: str) -> None:
    data = sample(200, seed=8)
    ref = zoo.portable(model).ref
    rebuilt = bundles.load_eager(ref.path, ref.digest)
    with torch.no_grad():
        logits = rebuilt(torch.from_numpy(data.keys), torch.from_numpy(data.values))
    np.testing.assert_array_equal(
        torch.sigmoid(logits).numpy(), eager(zoo, model, data.keys, data.values)
    )


def test_a_row_of_a_weight_counts_as_so_many_rows(zoo: Zoo, model: str) -> None:
    """A model with a loss of its own weighs what it sums: what was left out is missing else."""
    ranker, data = zoo.trained(model).module, sample(40, seed=9)
    data = data._replace(values=np.nan_to_num(data.values))
    times = np.random.default_rng(2).integers(1, 4, len(data.labels))
    weighted = data._replace(weights=times.astype(np.float32))
    repeated = data.take(np.repeat(np.arange(len(times)), times))
    with torch.no_grad():
        found, expected = (ranker.loss(*to_tensors(rows)) for rows in (weighted, repeated))
        plain = ranker.loss(*to_tensors(data))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)
    assert abs(plain.item() - expected.item()) > 1e-3 * expected.item()


def test_every_model_learns(zoo: Zoo, model: str) -> None:
    assert zoo.trained(model).metrics["auc"] > 0.55
