"""Training input through Petastorm; nothing else in the code base touches it.

Files are wide Parquet: `k_<field>` int64, `v_<feature>` float32, `y_<label>` float32; of a list
`k_<list>_<place>`, and `v_<list>_<place>` if it has ages. Of several labels a row may lack some
(null, or NaN), but not all. A set of which rows were left out has a column `weight` float32
besides: how many rows each counts as; without it each is one.

Three traps of petastorm 0.13.1 shape this file. Its thread pool sometimes ends a pass early and
says nothing (231 of 893 passes here), and its order of row groups depends on timing. So the `dummy`
pool is used, which works in the caller's thread, and here that is a thread of ours which reads
ahead: no race, the same order every time, and as fast (2.6 M rows/s of 40 columns against 2.8 on 2
cores). Rows are counted against the Parquet footers all the same. Third, seed 0 means "not seeded"
to it, so seeds are moved up by one.

Legend: B batch, C columns of keys, V of values (see `Signature`), T labels.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import ConfigInvalid, InputInvalid, RowCountMismatch
from models.signature import Signature
from models.training.files import open_file
from models.training.prefetch import prefetched
from models.training.store import is_in_store, stored_groups

PREFETCHED_GROUPS = 2
WEIGHT = "weight"


class Rows(NamedTuple):
    """Rows of training data: keys (B, C) int64, values (B, V) float32, labels (B, T) float32.

    A label is 0 or 1; NaN where the row has no such label. Of each row there is also its weight,
    (B,) float32, finite and above 0: how many rows it counts as.
    """

    keys: NDArray[np.int64]
    values: NDArray[np.float32]
    labels: NDArray[np.float32]
    weights: NDArray[np.float32]

    def take(self, index: NDArray[np.int64] | slice) -> Rows:
        """Return the rows at `index`."""
        return Rows(self.keys[index], self.values[index], self.labels[index], self.weights[index])


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """Which part of the row groups a process reads: `index` of `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigInvalid("shard", "index", self.index, f"must be in [0, {self.count})")


WHOLE = Shard()


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingFiles:
    """The Parquet files of one training or validation set, pinned."""

    files: tuple[str, ...]
    """Paths, or URLs that fsspec knows (`file://`, `s3://`, `hdfs://`); all of one kind."""
    rows: int
    """Rows of all files together, as their footers say."""
    hdfs_driver: str = "libhdfs"

    def __post_init__(self) -> None:
        if not self.files:
            raise ConfigInvalid("training files", "files", (), "needs at least one file")
        if self.rows < 1:
            raise ConfigInvalid("training files", "rows", self.rows, "must be at least 1")

    @classmethod
    def of(cls, files: Sequence[str | Path], *, hdfs_driver: str = "libhdfs") -> TrainingFiles:
        """Return the set of these files, with the rows their footers promise."""
        named = tuple(str(file) for file in files)
        return cls(files=named, rows=sum(map(sum, group_rows(named))), hdfs_driver=hdfs_driver)

    def urls(self) -> list[str]:
        """Return what Petastorm takes: a URL per file, sorted so that shards are stable.

        It decodes nothing, so a path stands in its URL as it is, spaces and `=` included.
        """
        return sorted(f if "://" in f else f"file://{Path(f).resolve()}" for f in self.files)

    def shard_rows(self, count: int) -> list[int]:
        """Return the rows of each of `count` shards: row group i belongs to shard i modulo count.

        Raises:
            RowCountMismatch: the footers do not add up to `rows`.
            ConfigInvalid: there are fewer row groups than shards.
        """
        groups = [rows for file in group_rows(self.urls()) for rows in file]
        if sum(groups) != self.rows:
            raise RowCountMismatch("training files (pinned rows)", self.rows, sum(groups))
        if len(groups) < count:
            raise ConfigInvalid(
                "training files",
                "shard_count",
                count,
                f"there are only {len(groups)} row groups: write smaller ones or start fewer",
            )
        return [sum(groups[index::count]) for index in range(count)]


def group_rows(files: Sequence[str]) -> list[list[int]]:
    """Return the rows of every row group of every file, from the Parquet footers."""
    import pyarrow.parquet as pq  # a machine that makes its rows itself, to time them, lacks it

    counts = []
    for file in files:
        with open_file(file) as handle, pq.ParquetFile(handle) as parquet:
            footer = parquet.metadata
            counts.append([footer.row_group(g).num_rows for g in range(footer.num_row_groups)])
    return counts


def read_all(files: TrainingFiles, signature: Signature, shard: Shard = WHOLE) -> Rows:
    """Return every row of the shard, in the order of the files.

    Raises:
        RowCountMismatch: a row was lost, or came twice.
    """
    return concatenate(list(stream(files, signature, shard)))


def stream(
    files: TrainingFiles, signature: Signature, shard: Shard = WHOLE, *, seed: int | None = None
) -> Iterator[Rows]:
    """Yield every row of the shard, a row group at a time, the groups shuffled if there is a seed.

    A short pass is not repeated: by then its rows were trained on.

    Raises:
        RowCountMismatch: at the end, if rows were lost or came twice.
    """
    promised, delivered = files.shard_rows(shard.count)[shard.index], 0
    groups = _row_groups(files, signature, shard, seed)
    for part in prefetched(groups, ahead=PREFETCHED_GROUPS):
        delivered += len(part.labels)
        yield part
    if delivered != promised:
        what = f"{len(files.files)} files from {files.files[0]}, shard {shard.index}/{shard.count}"
        raise RowCountMismatch(what, delivered, promised)


def concatenate(parts: Sequence[Rows]) -> Rows:
    """Return the rows of all parts as one; at least one part is needed."""
    return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _row_groups(
    files: TrainingFiles, signature: Signature, shard: Shard, seed: int | None
) -> Iterator[Rows]:
    if is_in_store(files.urls()):
        columns = columns_of(signature)
        for found in stored_groups(files.urls(), columns, shard.index, shard.count, seed):
            yield to_rows(found, signature)
        return
    from petastorm import make_batch_reader  # heavy, and not there on every scoring machine

    # Forty notices per pass that pyarrow will drop what petastorm uses: pyarrow is pinned for that.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
    reader = make_batch_reader(
        files.urls(),
        schema_fields=[f"^{re.escape(column)}$" for column in columns_of(signature)],
        reader_pool_type="dummy",
        shuffle_row_groups=seed is not None,
        seed=None if seed is None else seed + 1,
        num_epochs=1,
        cur_shard=shard.index if shard.count > 1 else None,
        shard_count=shard.count if shard.count > 1 else None,
        hdfs_driver=files.hdfs_driver,
    )
    try:
        for batch in reader:
            yield to_rows(batch._asdict(), signature)
    finally:  # not `with`: leaving it prints to standard output
        reader.stop()
        reader.join()


def columns_of(signature: Signature) -> tuple[str, ...]:
    """Return the Parquet columns of a signature, in order, and that of weights, if there is one."""
    return (
        *(f"k_{name}" for name in signature.key_columns),
        *(f"v_{name}" for name in signature.value_columns),
        *(f"y_{name}" for name in signature.labels),
        WEIGHT,
    )


def to_rows(columns: dict[str, Any], signature: Signature) -> Rows:
    """Return one row group's columns as arrays.

    Raises:
        InputInvalid: a column is missing or of another type, a label is neither 0 nor 1 nor
            missing, a row has none, or a weight is not finite or not above 0.
    """
    rows = len(next(iter(columns.values()), ()))
    keys = [_column(columns, f"k_{name}", np.int64) for name in signature.key_columns]
    values = [_column(columns, f"v_{name}", np.float32) for name in signature.value_columns]
    labels = [_column(columns, f"y_{name}", np.float32) for name in signature.labels]
    values_BN = np.stack(values, 1) if values else np.empty((rows, 0), np.float32)
    return Rows(np.stack(keys, 1), values_BN, _labels(labels, signature), _weights(columns, rows))


def _labels(columns: Sequence[NDArray[np.float32]], signature: Signature) -> NDArray[np.float32]:
    """Return the labels (B, T), which a row may lack, but not all of them."""
    for name, column in zip(signature.labels, columns, strict=True):
        if not (np.isin(column, (0.0, 1.0)) | np.isnan(column)).all():
            raise InputInvalid(
                f"column y_{name}: every label must be 0 or 1, or missing; filter the rows first"
            )
    labels_BT = np.stack(columns, 1)
    if np.isnan(labels_BT).all(1).any():
        names = ", ".join(f"y_{name}" for name in signature.labels)
        raise InputInvalid(f"a row has no label in {names}; filter the rows first")
    return labels_BT


def _weights(columns: dict[str, Any], rows: int) -> NDArray[np.float32]:
    """Return the weights (B,), ones where the files have none."""
    if WEIGHT not in columns:
        return np.ones(rows, np.float32)
    # A copy: what Arrow lends cannot be written to, and torch warns of that.
    weights: NDArray[np.float32] = _column(columns, WEIGHT, np.float32).copy()
    is_bad = ~(np.isfinite(weights) & (weights > 0))
    if is_bad.any():
        raise InputInvalid(
            f"column {WEIGHT} has {weights[is_bad.argmax()]}: every weight must be finite and "
            "above 0, as each row counts as so many; freeze the set again"
        )
    return weights


def _column(columns: dict[str, Any], name: str, dtype: type[np.generic]) -> NDArray[Any]:
    if name not in columns:
        raise InputInvalid(f"column {name} is not in the training files; write them again")
    column = np.asarray(columns[name])
    # An int64 column with nulls arrives as float64, its keys rounded: it must not pass for keys.
    if column.dtype != dtype:
        raise InputInvalid(
            f"column {name} is {column.dtype}, must be {np.dtype(dtype)} without nulls; "
            "encode missing categories as key 0 and cast numerics to float"
        )
    return column
