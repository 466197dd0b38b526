"""Arrays in, probabilities out; no Spark, no training code.

Legend: n rows, C columns of keys, V of values (see `Signature`), T labels.
"""

from __future__ import annotations

import hashlib
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import BundleInvalid, ConfigInvalid, InputInvalid
from models.scoring.bundle import MANIFEST, Bundle, load

# Arrow's buffers are read-only, and the models only read: torch's warning about it means nothing.
warnings.filterwarnings("ignore", message="The given NumPy array is not writ", category=UserWarning)

LANES = 64  # rows; a multiple of what any vector instruction or matrix kernel takes at once
DEFAULT_ROWS_PER_BATCH = 4096  # 1k-4k rows stay in the caches; 65k halves the speed


class Predictor:
    """Scores arrays with a bundle.

    `threads` is torch's number of threads for the whole process. One per process is right where
    several processes share a machine; the compiled package is always single-threaded.
    """

    def __init__(
        self, bundle: Bundle, rows_per_batch: int = DEFAULT_ROWS_PER_BATCH, threads: int = 1
    ) -> None:
        if not 1 <= rows_per_batch <= 65_536:
            raise ConfigInvalid(
                "predictor", "rows_per_batch", rows_per_batch, "must be in 1..65536"
            )
        if threads < 1:
            raise ConfigInvalid("predictor", "threads", threads, "must be at least 1")
        torch.set_num_threads(threads)
        self.bundle = bundle
        self.rows_per_batch = rows_per_batch

    def predict(self, keys: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the first label's probability (n,) of keys (n, C) int64 and values (n, V) float32.

        Raises:
            InputInvalid: an array has the wrong type or shape.
        """
        return np.ascontiguousarray(self.predict_all(keys, values)[:, 0])

    def predict_all(
        self, keys: NDArray[np.int64], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probabilities (n, T) float32 of every label, each in [0, 1]."""
        self._check(keys, values)
        scores = np.empty((len(keys), len(self.bundle.signature.labels)), np.float32)
        for start in range(0, len(keys), self.rows_per_batch):
            part = slice(start, start + self.rows_per_batch)
            keys_BC = torch.from_numpy(_padded(keys[part]))
            values_BV = torch.from_numpy(_padded(values[part]))
            logits_BT = self.bundle.logits(keys_BC, values_BV)
            scores[part] = torch.sigmoid(logits_BT).numpy()[: len(keys[part])]
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores).all(1))[0])
            raise BundleInvalid(
                f"{self.bundle.path}: row {row} has no finite score: broken weights, roll back"
            )
        return scores

    def _check(self, keys: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        signature = self.bundle.signature
        if len(keys) == len(values) == 0:
            return  # an empty Arrow batch does not know how wide its lists are
        _check_array("keys", keys, np.dtype(np.int64), len(signature.key_columns))
        _check_array("values", values, np.dtype(np.float32), len(signature.value_columns))
        if len(keys) != len(values):
            raise InputInvalid(f"keys has {len(keys)} rows, values {len(values)}: must be equal")


def _padded(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows, contiguous (a compiled package crashes on others), as whole lanes.

    The last rows of an odd batch go through other instructions, and differ in the last bit from
    what they score elsewhere. Padded, a row scores the same wherever it stands.
    """
    short = -len(rows) % LANES
    if not short:
        return np.ascontiguousarray(rows)
    return np.concatenate([rows, np.zeros((short, rows.shape[1]), rows.dtype)])


def _check_array(name: str, array: object, dtype: np.dtype[np.generic], columns: int) -> None:
    if not isinstance(array, np.ndarray):
        raise InputInvalid(f"{name} is {type(array).__name__}; must be a numpy array of {dtype}")
    if array.dtype != dtype or array.ndim != 2 or array.shape[1] != columns:
        raise InputInvalid(
            f"{name} is {array.dtype}{array.shape}; must be {dtype} (rows, {columns}) by "
            "the model's signature: encode rows with the definition it was trained with"
        )


_predictors: dict[str, Predictor] = {}
_predictors_lock = threading.Lock()


def predictor(
    path: Path | str,
    digest: str | None = None,
    *,
    rows_per_batch: int = DEFAULT_ROWS_PER_BATCH,
    threads: int = 1,
) -> Predictor:
    """Return this process's predictor of a bundle, loading it at the first call only.

    The cache is keyed by the bundle's digest: another model at the same path is loaded anew. A
    digest that was pinned and loaded before is trusted without looking at the disk again.
    """
    with _predictors_lock:
        key = digest or _manifest_digest(Path(path))
        if key not in _predictors:
            _predictors[key] = Predictor(load(path, key), rows_per_batch, threads)
        return _predictors[key]


def _manifest_digest(path: Path) -> str:
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        raise BundleInvalid(f"{path}: no readable {MANIFEST}: {error}. Check the path") from error
