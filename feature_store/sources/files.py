"""Daily files that someone else delivers: CSV or Parquet, one folder or name per day."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, get_args

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources import csvfile, parquetfile
from feature_store.sources.astext import as_text, text_columns
from feature_store.sources.daycache import AGAIN, of_day
from feature_store.sources.digests import content_digests
from feature_store.sources.frames import arrow_schema, frame
from feature_store.sources.places import counts, shown, unfit
from feature_store.sources.readers import Format, Piece, pieces_of, raw_types, read, schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PATTERN = re.compile(r"(?!/|.*\*\*[^/]|.*[^/]\*\*)[A-Za-z0-9_.=*/-]*\{ds\}[A-Za-z0-9_.=*/-]*\Z")
_COPY_DAYS = 31
"""Days back in which a file's twin is looked for."""
_FIRST_YEAR = 1970


@dataclass(frozen=True, kw_only=True, slots=True)
class DailyFiles:
    """The files of a day are those that match `pattern` under `folder`, in which `{ds}` is the day.

    The folder is local or mounted, on the driver as on the executors. Each file is read by itself
    into the declared columns, by its own header or footer; what else it holds is of no interest.
    CSV is UTF-8 with a header line (`.csv`, `.csv.gz`); a line that cannot be split ends in
    quarantine as `malformed`. A column that may be null and that a file lacks is null.
    """

    revision: ClassVar[int] = 2

    folder: str
    format: Format = "csv"
    pattern: str = "ds={ds}/*"
    columns: tuple[str, ...] = ()
    """Columns that every file must have, beside those that may not be null."""
    delimiter: str = ","

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise ValueError(f"DailyFiles.format={self.format!r}: must be 'csv' or 'parquet'")
        if not _PATTERN.match(self.pattern):
            raise ValueError(
                f"DailyFiles.pattern={self.pattern!r}: must hold {{ds}} once, beside letters, "
                "digits and _ . = - * /; it begins without a /, and ** stands alone between two /"
            )
        csvfile.require_delimiter("DailyFiles", self.delimiter)

    def fingerprint(self, day: date) -> str:
        """Return a digest of the names, sizes and bytes of the day's files.

        Raises:
            SourceDayMissing: no file matches.
            SourceCorrupt: a file cannot be read.
        """
        root, files = Path(self.folder), self.files(day)
        digest = hashlib.sha256()
        for path, content in _digests(files, day).items():
            size = _size(path, day)
            digest.update(f"{path.relative_to(root)}\t{size}\t{content}\n".encode())
        return digest.hexdigest()

    def prefetch(self, days: Iterable[date]) -> None:
        """Hash the files of `days` that changed, several at a time, before each day is asked for.

        Days without a file are passed over, and so is a file that cannot be read: `fingerprint`
        says so of its day.
        """
        paths = [path for day in days for path in self._matching(day)]
        try:
            content_digests(paths)
        except SourceCorrupt:
            return  # not lost: `fingerprint` raises it with the day to which it belongs

    def files(self, day: date) -> list[Path]:
        """Return the day's files by name; hidden ones and those that begin with _ do not count.

        Raises:
            SourceDayMissing: there is none.
            SourceCorrupt: what should be one of them is no file, or has a name that is not UTF-8.
        """
        found = self._entries(day)
        for path, why in ((path, unfit(path)) for path in found):
            if why:
                raise SourceCorrupt(f"source file {shown(path)}: {why}. {AGAIN}", day)
        if not found:
            pattern = self.pattern.replace("{ds}", day.isoformat())
            why = f"no file matches {Path(self.folder) / pattern}"
            raise SourceDayMissing(self.folder, day, why, "Wait for its delivery, then run again.")
        return found

    def snapshot_days(self) -> list[date]:
        """Return every day that has a file: for a lookup that is a snapshot, each is one.

        What is named like a day and is none (2026-02-30), or one before 1970, is passed over.
        """
        root = Path(self.folder)
        parts = [re.escape(part).replace(r"\*", "[^/]*") for part in self.pattern.split("{ds}")]
        place = re.compile(rf"{parts[0]}(\d{{4}}-\d\d-\d\d){parts[1]}")
        paths = root.glob(self.pattern.replace("{ds}", "????-??-??"))
        names = (path.relative_to(root).as_posix() for path in paths if counts(path))
        days = (_day(match.group(1)) for match in map(place.fullmatch, names) if match)
        return sorted({day for day in days if day})

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days` as text, with all columns of plain names; to look at.

        A pipeline reads by `read_parts`, which knows the declared columns.

        Raises:
            SourceDayMissing: a day has no file.
            SourceCorrupt: a file cannot be read.
        """
        paths = [path for day in days for path in self.files(day)]
        names = text_columns(paths, self.format, self.delimiter)
        return as_text(names, lambda columns: self.read_parts(spark, days, columns))

    def read_parts(
        self, spark: SparkSession, days: Sequence[date], columns: Sequence[Column]
    ) -> list[DataFrame]:
        """Return the rows of `days`, a frame for the files that hold `columns` in the same types.

        Raises:
            SourceDayMissing: a day has no file.
            SourceCorrupt: a file cannot be read, lacks a column that may not be null, or has one of
                a type that cannot become the declared one; it names file, column and day.
        """
        wanted = [_required(c) if c.name in self.columns else c for c in columns]
        needed = [name for name in self.columns if name not in {c.name for c in columns}]
        alike: dict[tuple[str | None, ...], list[Piece]] = {}
        for day in days:
            for path in self.files(day):
                types = raw_types(path, day, self.format, self.delimiter, wanted, needed)
                alike.setdefault(types, []).extend(
                    pieces_of(path, day, self.format, self.delimiter)
                )
        return [_frame(spark, pieces, wanted, types) for types, pieces in alike.items()]

    def refuse_copies(self, days: Iterable[date]) -> None:
        """Raise if a file of `days` holds the very bytes of a file of one of the 31 days before.

        Files without a row are alike, and are no copies.

        Raises:
            SourceCorrupt: it names both files.
        """
        sizes = cache(lambda day: [(p, _size(p, day)) for p in self._matching(day)])
        for day in days:
            before = [day - timedelta(days=back) for back in range(1, _COPY_DAYS + 1)]
            here = {size for _, size in sizes(day)}
            others = [path for d in before for path, size in sizes(d) if size in here]
            if not others:
                continue
            twins = {digest: path for path, digest in _digests(others, day).items()}
            for path, digest in _digests(self.files(day), day).items():
                if digest in twins and self._has_rows(path, day):
                    raise SourceCorrupt(
                        f"source file {path}: holds the very bytes of {twins[digest]}: the rows of "
                        f"another day. {AGAIN}",
                        day,
                    )

    def _matching(self, day: date) -> list[Path]:
        """Return the files of a day that can be opened, to look at beside others."""
        return [path for path in self._entries(day) if not unfit(path)]

    def _entries(self, day: date) -> list[Path]:
        """Return what is put down as the files of a day, whether or not each is one."""
        pattern = self.pattern.replace("{ds}", day.isoformat())
        return sorted(path for path in Path(self.folder).glob(pattern) if counts(path))

    def _has_rows(self, path: Path, day: date) -> bool:
        with of_day(day):
            if self.format == "parquet":
                return parquetfile.rows(path) > 0
            names = csvfile.header(path, self.delimiter)
            return any(True for _ in csvfile.batches(path, self.delimiter, names[:1]))


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year >= _FIRST_YEAR else None


def _size(path: Path, day: date) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise SourceCorrupt(
            f"source file {path}: cannot be read ({error}). {AGAIN}", day
        ) from error


def _required(column: Column) -> Column:
    return replace(column, nullable=False)


def _digests(paths: Sequence[Path], day: date) -> dict[Path, str]:
    with of_day(day):
        return content_digests(paths)


def _frame(
    spark: SparkSession,
    pieces: Sequence[Piece],
    columns: Sequence[Column],
    types: Sequence[str | None],
) -> DataFrame:
    """Return the rows of files that hold the columns in the same raw types."""
    described = schema(columns, types)
    target, names = arrow_schema(spark, described), [column.name for column in columns]
    return frame(spark, pieces, described, lambda piece: read(piece, names, target))
