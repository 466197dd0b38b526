"""Row groups of files in an object store.

Petastorm 0.13.1 asks pyarrow for a reader that pyarrow 14 has only for local files and HDFS; what
lies anywhere else is read here, as it would be there: row group i belongs to shard i modulo count,
and a seed shuffles them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from models.training.files import local_path, open_file


def is_in_store(files: Sequence[str]) -> bool:
    """Whether files lie where Petastorm does not reach."""
    return any(local_path(file) is None and not file.startswith("hdfs://") for file in files)


def stored_groups(
    files: Sequence[str], columns: Sequence[str], index: int, count: int, seed: int | None
) -> Iterator[dict[str, Any]]:
    """Yield the columns of each row group of a shard, as arrays by name.

    Args:
        files: URLs, in the order of their rows.
        columns: which to read; one that a file lacks is left out.
        index: the shard.
        count: of so many.
        seed: shuffles the row groups; None keeps their order.
    """
    import pyarrow.parquet as pq  # as in models.training.data

    opened = [pq.ParquetFile(open_file(file)) for file in files]
    try:
        every = [(parquet, group) for parquet in opened for group in range(parquet.num_row_groups)]
        groups = every[index::count]
        order = range(len(groups))
        for place in order if seed is None else np.random.default_rng(seed).permutation(order):
            parquet, group = groups[place]
            table = parquet.read_row_group(group, list(columns), use_threads=False)
            yield {name: table[name].to_numpy() for name in columns if name in table.column_names}
    finally:
        for parquet in opened:
            parquet.close(force=True)
