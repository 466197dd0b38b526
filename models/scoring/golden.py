"""Golden rows: rows whose scores are known, scored again whenever a bundle is loaded.

Legend: G golden rows, K categorical, N numeric, T labels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.errors import BundleInvalid, InputInvalid
from models.ranker import Ranker

Rows = tuple[Tensor, Tensor]
HOSTILE = ((0, 0.0), (-(2**63), np.nan), (2**63 - 1, np.inf), (-1, -np.inf))


def golden_rows(keys_GK: NDArray[np.int64], values_GN: NDArray[np.float32]) -> Rows:
    """Return the rows given and, behind them, rows that no training set has.

    Raises:
        InputInvalid: there is no row, or the two arrays differ in length.
    """
    if not len(keys_GK) or len(keys_GK) != len(values_GN):
        raise InputInvalid(
            f"golden rows: {len(keys_GK)} keys, {len(values_GN)} values: must be equal, at least 1"
        )
    keys = [np.full((1, keys_GK.shape[1]), key, np.int64) for key, _ in HOSTILE]
    values = [np.full((1, values_GN.shape[1]), value, np.float32) for _, value in HOSTILE]
    return (
        torch.from_numpy(np.concatenate([keys_GK.astype(np.int64), *keys])),
        torch.from_numpy(np.concatenate([values_GN.astype(np.float32), *values])),
    )


def save_golden(ranker: Ranker, rows: Rows, path: Path) -> None:
    """Write the rows with the scores (G, T) that the eager model gives them."""
    with torch.no_grad():
        expected = torch.sigmoid(ranker(*rows))
    if not bool(torch.isfinite(expected).all()):
        raise InputInvalid("golden rows: the model gives a score that is not finite; train again")
    save_file({"keys": rows[0], "values": rows[1], "expected": expected.contiguous()}, path)


def check_golden(
    path: Path, logits: Callable[[Tensor, Tensor], Tensor], tolerance: float, engine: str
) -> None:
    """Return if every golden row scores as it did when the bundle was saved.

    Raises:
        BundleInvalid: one does not; the message names the row and the difference.
    """
    with safe_open(path, framework="pt") as golden:
        keys, values, expected = (golden.get_tensor(n) for n in ("keys", "values", "expected"))
    scores = torch.sigmoid(logits(keys, values))
    # NaN compares false with everything: count what is within, not what is beyond.
    within = (scores - expected).abs() <= tolerance
    if not bool(within.all()):
        row, label = (int(i) for i in (~within).nonzero()[0])
        raise BundleInvalid(
            f"{path}: golden row {row} label {label} scores {float(scores[row, label]):.7f} with "
            f"{engine}, was {float(expected[row, label]):.7f} when saved (bound {tolerance}). "
            "This machine computes differently: do not publish scores from it, train again"
        )
