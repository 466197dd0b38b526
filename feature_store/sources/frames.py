"""Pieces of files as a Spark frame: each task reads some, with Arrow and no Java."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from feature_store.sources.readers import Piece

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_TASKS_PER_CORE = 4


def arrow_schema(spark: SparkSession, described: str) -> pa.Schema:
    """Return the Arrow schema of a schema that is written as Spark writes it."""
    from pyspark.sql.pandas.types import to_arrow_schema

    return to_arrow_schema(spark.createDataFrame([], described).schema)


def frame(
    spark: SparkSession,
    pieces: Sequence[Piece],
    described: str,
    read: Callable[[Piece], Iterable[pa.RecordBatch]],
) -> DataFrame:
    """Return what `read` gives of all pieces, in the schema that is described."""

    def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for index in batch.column(0).to_pylist():
                yield from read(pieces[index])

    tasks = min(len(pieces), _TASKS_PER_CORE * spark.sparkContext.defaultParallelism)
    return spark.range(0, len(pieces), 1, tasks).mapInArrow(rows, described)
