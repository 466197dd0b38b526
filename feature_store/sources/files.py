"""Daily files that someone else delivers: CSV or Parquet, one folder or name per day."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources.daycache import file_digest, open_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

_PATTERN = re.compile(r"[A-Za-z0-9_.=*/-]*\{ds\}[A-Za-z0-9_.=*/-]*\Z")
_NEXT = "Have the file delivered again, or move it away, and run the day again."


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyFiles:
    """The files of a day are those that match `pattern` under `folder`, in which `{ds}` is the day.

    The folder is local or mounted, on the driver as on the executors. CSV has a header line
    (`.csv`, `.csv.gz`) and is read as text; a line with too many or too few values is marked, and
    ends in quarantine as `malformed`.
    """

    revision: ClassVar[int] = 1

    folder: str
    format: Literal["csv", "parquet"] = "csv"
    pattern: str = "ds={ds}/*"
    columns: tuple[str, ...] = ()
    """Columns that every file must have; empty: those of the day's first file."""
    delimiter: str = ","

    def __post_init__(self) -> None:
        if self.format not in ("csv", "parquet"):
            raise ValueError(f"DailyFiles.format={self.format!r}: must be 'csv' or 'parquet'")
        if not _PATTERN.match(self.pattern):
            raise ValueError(
                f"DailyFiles.pattern={self.pattern!r}: must hold {{ds}} once, beside letters, "
                "digits and _ . = - * /"
            )

    def fingerprint(self, day: date) -> str:
        """Return a digest of the names, sizes and bytes of the day's files.

        Raises:
            SourceDayMissing: no file matches.
        """
        root = Path(self.folder)
        digest = hashlib.sha256()
        for path in self.files(day):
            size = path.stat().st_size
            digest.update(f"{path.relative_to(root)}\t{size}\t{content_digest(path)}\n".encode())
        return digest.hexdigest()

    def files(self, day: date) -> list[Path]:
        """Return the day's files by name; hidden ones and those that begin with _ do not count.

        Raises:
            SourceDayMissing: there is none.
        """
        pattern = self.pattern.replace("{ds}", day.isoformat())
        found = sorted(p for p in Path(self.folder).glob(pattern) if _counts(p))
        if not found:
            why = f"no file matches {Path(self.folder) / pattern}"
            raise SourceDayMissing(self.folder, day, why, "Wait for its delivery, then run again.")
        return found

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`, as text from CSV and typed from Parquet.

        Raises:
            SourceDayMissing: a day has no file.
            SourceCorrupt: a file cannot be read, lacks a column, or differs in type from the first.
        """
        from pyspark.sql import functions as F

        paths = [path for day in days for path in self.files(day)]
        rows = self._read_csv(spark, paths) if self.format == "csv" else self._parquet(spark, paths)
        day_text = F.regexp_extract("source_file", self._day_regex(), 1)
        return rows.withColumn("ds", F.to_date(day_text))

    def _read_csv(self, spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
        from feature_store.events.quarantine import CORRUPT_RECORD

        by_header: dict[tuple[str, ...], list[str]] = {}
        for path in paths:
            by_header.setdefault(_csv_header(path, self.delimiter), []).append(str(path))
        wanted = self.columns or next(iter(by_header))
        parts = []
        for header, files in by_header.items():
            _require(wanted, header, files[0])
            schema = ", ".join(f"`{name}` string" for name in (*header, CORRUPT_RECORD))
            # Without pruning off, a line is only checked as far as the columns that are asked for.
            reader = spark.read.options(
                header=True,
                sep=self.delimiter,
                columnNameOfCorruptRecord=CORRUPT_RECORD,
                columnPruning=False,
                escape='"',
            )
            rows = reader.schema(schema).csv(files)
            parts.append(rows.select(*wanted, CORRUPT_RECORD, _file_name()))
        return reduce(lambda left, right: left.unionByName(right), parts)

    def _parquet(self, spark: SparkSession, paths: Sequence[Path]) -> DataFrame:
        schemas = [_parquet_schema(path) for path in paths]
        wanted = self.columns or tuple(name for name in schemas[0].names if name != "ds")
        for path, schema in zip(paths, schemas, strict=True):
            _require(wanted, schema.names, str(path))
            for name in wanted:
                first, here = schemas[0].field(name).type, schema.field(name).type
                if first != here:
                    raise SourceCorrupt(
                        f"source file {path}: column {name} is {here}, but {first} in {paths[0]}; "
                        f"the files of a read must agree. {_NEXT}"
                    )
        return spark.read.parquet(*map(str, paths)).select(*wanted, _file_name())

    def _day_regex(self) -> str:
        parts = [re.escape(part).replace(r"\*", "[^/]*") for part in self.pattern.split("{ds}")]
        return f"(?:^|/){parts[0]}([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){parts[1]}$"


def content_digest(path: Path) -> str:
    """Return the sha256 of a file, read again only if its size or time of change differs."""
    stat = path.stat()
    return _content_digest(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4096)
def _content_digest(path: Path, _size: int, _mtime_ns: int) -> str:
    return file_digest(path)


def _counts(path: Path) -> bool:
    return path.is_file() and not path.name.startswith((".", "_"))


def _file_name() -> SparkColumn:
    from pyspark.sql import functions as F

    return F.col("_metadata.file_path").alias("source_file")


def _require(wanted: Sequence[str], present: Sequence[str], file: str) -> None:
    missing = [name for name in wanted if name not in present]
    if missing:
        raise SourceCorrupt(
            f"source file {file}: column {', '.join(missing)} is missing; every file must have it. "
            f"The file has {', '.join(present)}. {_NEXT}"
        )


def _csv_header(path: Path, delimiter: str) -> tuple[str, ...]:
    with open_bytes(path) as stream:
        first = stream.readline()
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise SourceCorrupt(f"source file {path}: is not UTF-8 text ({error}). {_NEXT}") from error
    header = tuple(next(csv.reader(io.StringIO(text), delimiter=delimiter), []))
    if not header or len(set(header)) != len(header):
        raise SourceCorrupt(
            f"source file {path}: header {text[:80]!r} must name every column, each once. {_NEXT}"
        )
    return header


def _parquet_schema(path: Path) -> pa.Schema:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise SourceCorrupt(
            f"source file {path}: is not a readable Parquet file ({str(error).splitlines()[0]}). "
            f"{_NEXT}"
        ) from error
