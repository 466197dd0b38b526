"""Public click logs as text files: what the readers of Criteo and Avazu share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feature_store.errors import SourceCorrupt
from feature_store.sources.daycache import open_bytes

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def first_line(path: Path) -> str:
    """Return the first line of a plain or gzip text file.

    Raises:
        SourceCorrupt: the file is missing, unreadable or empty.
    """
    with open_bytes(path) as stream:
        line = stream.readline().decode("utf-8", errors="replace").rstrip("\r\n")
    if not line:
        raise SourceCorrupt(f"source file {path}: is empty. Fetch the file again.")
    return line


def split_lines(
    spark: SparkSession, path: Path, names: Sequence[str], delimiter: str, header: str
) -> DataFrame:
    """Return the file's lines as text columns `names`, empty values as null.

    `_corrupt_record` holds a line that is not UTF-8 or has another number of values, `source_file`
    the file's name; `line` stays. Lines that begin with `header` (if any) are left out.
    """
    from pyspark.sql import functions as F

    lines = spark.read.text(str(path)).withColumnRenamed("value", "line")
    if header:
        lines = lines.where(~F.col("line").startswith(header))
    values = F.split("line", F.lit(delimiter), -1)
    # A byte that is no text would become the same mark as any other, and two keys one.
    fits = (F.size(values) == len(names)) & F.is_valid_utf8("line")
    columns = [F.nullif(F.get(values, F.lit(i)), F.lit("")) for i in range(len(names))]
    return lines.select(
        "line",
        *[F.when(fits, column).alias(n) for n, column in zip(names, columns, strict=True)],
        F.when(~fits, F.make_valid_utf8("line")).alias("_corrupt_record"),
        F.lit(path.name).alias("source_file"),
    )
