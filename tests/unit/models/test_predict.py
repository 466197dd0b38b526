"""Any arrays in, probabilities out, or an error that says what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.errors import BundleInvalid, BundleTampered, ConfigInvalid, InputInvalid
from models.scoring.predict import Predictor, predictor
from tests.unit.models.conftest import SIGNATURE, Saved, Zoo, sample, save

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def saved(zoo: Zoo) -> Saved:
    return zoo["lr"]


def test_batches_do_not_show_in_the_scores(saved: Saved) -> None:
    rows = sample(1000)
    whole = Predictor(saved.bundle).predict_all(rows.keys, rows.values)
    small = Predictor(saved.bundle, rows_per_batch=7).predict_all(rows.keys, rows.values)
    np.testing.assert_array_equal(whole, small)
    order = np.random.default_rng(1).permutation(1000)
    shuffled = Predictor(saved.bundle).predict_all(rows.keys[order], rows.values[order])
    np.testing.assert_array_equal(whole[order], shuffled)
    assert whole.dtype == np.float32
    first = Predictor(saved.bundle).predict(rows.keys, rows.values)
    np.testing.assert_array_equal(first, whole[:, 0])


@pytest.mark.parametrize(
    ("keys", "values", "match"),
    [
        (np.zeros((2, 4), np.int64), np.zeros((2, 2), np.float32), r"keys.*\(rows, 3\)"),
        (np.zeros((2, 3), np.int32), np.zeros((2, 2), np.float32), "keys is int32"),
        (np.zeros((2, 3), np.int64), np.zeros((2, 2), np.float64), "values is float64"),
        (np.zeros((2, 3), np.int64), np.zeros((3, 2), np.float32), "2 rows, values 3"),
        (np.zeros(3, np.int64), np.zeros((1, 2), np.float32), "keys is int64"),
        ([[1, 2, 3]], np.zeros((1, 2), np.float32), "keys is list"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused(
    saved: Saved, keys: np.ndarray, values: np.ndarray, match: str
) -> None:
    with pytest.raises(InputInvalid, match=match):
        Predictor(saved.bundle).predict(keys, values)


def test_an_empty_batch_of_unknown_width_is_fine(saved: Saved) -> None:
    empty = Predictor(saved.bundle).predict(
        np.empty((0, 0), np.int64), np.empty((0, 0), np.float32)
    )
    assert empty.shape == (0,)
    assert empty.dtype == np.float32


@pytest.mark.parametrize("setting", [{"rows_per_batch": 0}, {"threads": 0}])
def test_a_broken_setting_is_refused(saved: Saved, setting: dict[str, int]) -> None:
    with pytest.raises(ConfigInvalid):
        Predictor(saved.bundle, **setting)


def test_a_process_loads_a_bundle_once(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = save(saved.trained, tmp_path / "bundle")
    first = predictor(ref.path, ref.digest)
    assert predictor(str(ref.path)) is first
    monkeypatch.setattr("models.scoring.predict.load", lambda *_: pytest.fail("loaded twice"))
    assert predictor(ref.path, ref.digest) is first


def test_a_wrong_digest_or_path_is_refused(saved: Saved, tmp_path: Path) -> None:
    with pytest.raises(BundleTampered):
        predictor(saved.ref.path, "0" * 64)
    with pytest.raises(BundleInvalid, match="Check the path"):
        predictor(tmp_path)


def test_scoring_needs_neither_spark_nor_petastorm(saved: Saved) -> None:
    code = (
        "import sys\n"
        "blocked = ('pyspark', 'delta', 'petastorm', 'airflow', 'mlflow', 'pandas', 'pyarrow')\n"
        "sys.modules.update(dict.fromkeys(blocked))\n"
        "import numpy as np\n"
        "from models.scoring.predict import predictor\n"
        f"p = predictor({str(saved.ref.path)!r}, {saved.ref.digest!r})\n"
        f"keys = np.zeros((3, {len(SIGNATURE.categorical)}), np.int64)\n"
        f"print(p.predict(keys, np.zeros((3, {len(SIGNATURE.numeric)}), np.float32)).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(3,)"
