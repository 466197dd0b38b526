"""What runs inside Spark's Python workers: Arrow in, the compiled model, Arrow out.

The model loads once per worker process, whatever the number of partitions and batches: the cache
is the process-wide one of `models.scoring.predict`, keyed by the bundle's digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from feature_store.features.encode import KEYS, VALUES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from models.scoring.predict import Predictor


def score_batches(
    path: str, digest: str, names: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Return the `mapInArrow` function of a bundle: columns ride along, scores are added.

    Args:
        path: the bundle's folder, reachable from every worker.
        digest: what the manifest's sha256 must be.
        names: the column of each label's scores, in the order of the bundle's labels.
    """

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        model = _predictor(path, digest)
        for batch in batches:
            scores = model.predict_all(
                _matrix(batch, KEYS, np.int64), _matrix(batch, VALUES, np.float32)
            )
            kept = [name for name in batch.schema.names if name not in (KEYS, VALUES)]
            columns = [batch.column(name) for name in kept]
            told = [pa.array(column) for column in _columns(scores)]
            yield pa.RecordBatch.from_arrays([*columns, *told], [*kept, *names])

    return run


def score_series(
    path: str, digest: str, names: Sequence[str]
) -> Callable[[Iterator[tuple[pd.Series, pd.Series]]], Iterator[pd.Series | pd.DataFrame]]:
    """Return the pandas UDF of a bundle: (keys array, values array) to probabilities.

    Args:
        path: the bundle's folder, reachable from every worker.
        digest: what the manifest's sha256 must be.
        names: the column of each label's scores; of one alone the UDF gives the probability itself,
            of several a struct.
    """
    import pandas as pd

    def run(
        batches: Iterator[tuple[pd.Series, pd.Series]],
    ) -> Iterator[pd.Series | pd.DataFrame]:
        model = _predictor(path, digest)
        for keys, values in batches:
            scores = np.empty((0, len(names)), np.float32)
            if len(keys):
                scores = model.predict_all(
                    np.stack(list(keys)).astype(np.int64),
                    np.stack(list(values)).astype(np.float32),
                )
            columns = [pd.Series(column) for column in _columns(scores)]
            is_only = len(names) == 1
            yield columns[0] if is_only else pd.DataFrame(dict(zip(names, columns, strict=True)))

    # Spark reads the hints to choose the kind of pandas UDF; the names must exist at run time.
    run.__annotations__ = {
        "batches": Iterator[tuple[pd.Series, pd.Series]],
        "return": Iterator[pd.Series] if len(names) == 1 else Iterator[pd.DataFrame],
    }
    return run


def _columns(scores: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return scores (n, T) label by label, each contiguous."""
    return list(np.ascontiguousarray(scores.T))


def _predictor(path: str, digest: str) -> Predictor:
    from models.scoring.predict import predictor

    return predictor(path, digest)


def _matrix(batch: pa.RecordBatch, column: str, dtype: type[np.generic]) -> NDArray[Any]:
    """Return a list column whose lists are equally long as (rows, length), without a copy."""
    flat = batch.column(batch.schema.get_field_index(column)).flatten()
    array: NDArray[Any] = flat.to_numpy(zero_copy_only=False).astype(dtype, copy=False)
    return array.reshape(batch.num_rows, -1) if batch.num_rows else array.reshape(0, 0)
