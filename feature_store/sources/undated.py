"""Files that are not laid out by day: a column says of which day each row is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, get_args

from feature_store.definition import Column
from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources import csvfile
from feature_store.sources.astext import as_text, text_columns
from feature_store.sources.daycache import of_day
from feature_store.sources.dayindex import DayIndex, Reading, day_index
from feature_store.sources.digests import content_digests
from feature_store.sources.frames import arrow_schema, frame
from feature_store.sources.instants import Unit, days_of
from feature_store.sources.places import SUFFIXES, counts, shown, unfit
from feature_store.sources.readers import Format, Piece, pieces_of, raw_types, read, schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

_CORRECT = "Name a file, a folder of .csv or .parquet files, or a pattern with * in `path`."
_WILD = "*?["
_DAY = "_day_of_row"
"""What the day column is called while rows are read: it may be called `ds`, and be undeclared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UndatedFiles:
    """The rows of a day are those whose `day_column` lies on it (UTC), in whichever file.

    `path` is a file, a folder of files, or a pattern with `*`; what else is said of a file, its
    columns and their types in `DailyFiles` holds here too. The day column is a date, a timestamp,
    text of either, or a number whose `unit` is named. A row of which no day can be told refuses
    its file, and so every day: it would belong to none, and nobody would miss it.
    """

    revision: ClassVar[int] = 1

    path: str
    day_column: str
    format: Format = "csv"
    unit: Unit | None = None
    """What a number in the day column counts since 1970."""
    delimiter: str = ","

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise ValueError(f"UndatedFiles.format={self.format!r}: must be 'csv' or 'parquet'")
        if self.unit is not None and self.unit not in get_args(Unit):
            raise ValueError(
                f"UndatedFiles.unit={self.unit!r}: must be 'seconds' or 'milliseconds' since 1970, "
                "or None where the day column is a date, a timestamp or text of one"
            )
        if not self.path or not self.day_column:
            raise ValueError("UndatedFiles: path and day_column must not be empty")
        csvfile.require_delimiter("UndatedFiles", self.delimiter)

    def fingerprint(self, day: date) -> str:
        """Return a digest of the day's rows, and of no other's.

        Raises:
            SourceDayMissing: no row is of the day.
            SourceCorrupt: a file cannot be read, or has a row of no day.
        """
        root, pattern = self._place()
        below = root if pattern else root.parent
        indexes = self._indexes(day)
        found = [
            f"{path.relative_to(below).as_posix()}\t{indexes[path].days[day]}"
            for path in self._holding(day, indexes)
        ]
        return hashlib.sha256("\n".join(found).encode()).hexdigest()

    def prefetch(self, days: Iterable[date]) -> None:
        """Read the files that changed, before each day is asked for.

        What is wrong with one is told by `fingerprint`, of its day.
        """
        try:
            self._indexes(None)
        except SourceCorrupt:
            return

    def snapshot_days(self) -> list[date]:
        """Return every day that has a row."""
        return sorted({day for index in self._indexes(None).values() for day in index.days})

    def files(self, day: date | None = None) -> list[Path]:
        """Return the files by name; hidden ones and those that begin with _ do not count.

        Raises:
            SourceCorrupt: there is none, or what should be one is no file; of `day`, if given.
        """
        root, pattern = self._place()
        if pattern is None:
            found = [root]
        else:
            found = sorted(path for path in root.glob(pattern) if counts(path))
        if self._is_folder():
            found = [path for path in found if path.suffix in SUFFIXES]
        for path, why in ((path, unfit(path)) for path in found):
            if why:
                raise SourceCorrupt(f"source file {shown(path)}: {why}. {_CORRECT}", day)
        if not found:
            raise SourceCorrupt(f"source file {self.path}: nothing is there. {_CORRECT}", day)
        return found

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days` as text, with all columns of plain names; to look at.

        Raises:
            SourceDayMissing: a day has no row.
            SourceCorrupt: a file cannot be read, or has a row of no day.
        """
        names = text_columns(self.files(), self.format, self.delimiter)
        return as_text(names, lambda columns: self.read_parts(spark, days, columns))

    def read_parts(
        self, spark: SparkSession, days: Sequence[date], columns: Sequence[Column]
    ) -> list[DataFrame]:
        """Return the rows of `days`, a frame for the files that hold `columns` in the same types.

        Raises:
            SourceDayMissing: a day has no row.
            SourceCorrupt: a file cannot be read, has a row of no day, lacks a column that may not
                be null, or has one of a type that cannot become the declared one.
        """
        indexes = self._indexes(days[0]) if days else {}
        first = {path: day for day in reversed(days) for path in self._holding(day, indexes)}
        alike: dict[tuple[str | None, ...], list[Piece]] = {}
        told = Column(name=self.day_column, dtype="string", known="", nullable=False)
        for path in sorted(first):
            day = first[path]
            types = raw_types(path, day, self.format, self.delimiter, [*columns, told])
            alike.setdefault(types, []).extend(pieces_of(path, day, self.format, self.delimiter))
        return [self._frame(spark, pieces, days, columns, t) for t, pieces in alike.items()]

    def refuse_copies(self, days: Iterable[date]) -> None:
        """Raise if two files that hold rows of `days` are the same bytes: each row is there twice.

        Raises:
            SourceCorrupt: it names both files.
        """
        indexes: dict[Path, DayIndex] | None = None
        for day in days:
            indexes = self._indexes(day) if indexes is None else indexes
            paths = self._holding(day, indexes)
            with of_day(day):
                digests = content_digests(paths)
            twins: dict[str, Path] = {}
            for path in paths:
                other = twins.setdefault(digests[path], path)
                if other != path:
                    raise SourceCorrupt(
                        f"source file {path}: holds the very bytes of {other}. Move one of them "
                        "away, and run the day again.",
                        day,
                    )

    def _is_folder(self) -> bool:
        return not any(sign in self.path for sign in _WILD) and Path(self.path).is_dir()

    def _place(self) -> tuple[Path, str | None]:
        """Return the folder below which files are named, and their pattern; or the one file."""
        if self._is_folder():
            return Path(self.path), "*"
        parts = Path(self.path).parts
        wild = [number for number, part in enumerate(parts) if any(sign in part for sign in _WILD)]
        if not wild:
            return Path(self.path), None
        return Path(*parts[: wild[0]]), str(Path(*parts[wild[0] :]))

    def _indexes(self, day: date | None) -> dict[Path, DayIndex]:
        """Return the days of each file; what is wrong with one is told of `day`."""
        files = self.files(day)
        reading = Reading(
            format=self.format, delimiter=self.delimiter, column=self.day_column, unit=self.unit
        )
        with of_day(day):
            digests = content_digests(files)
            found = {path: day_index(path, digests[path], reading) for path in files}
        for path, index in found.items():
            if index.undated:
                raise SourceCorrupt(self._undated(path, index), day)
        return found

    def _undated(self, path: Path, index: DayIndex) -> str:
        rows = f"{index.undated:,} rows have" if index.undated > 1 else "1 row has"
        kind = f"a number of {self.unit} since 1970" if self.unit else "2026-01-02 or a time of it"
        return (
            f"source file {path}: column {self.day_column}: {rows} no day that can be told, such "
            f"as {index.example}. A day is {kind}. Correct or remove them, and run the day again."
        )

    def _holding(self, day: date, indexes: Mapping[Path, DayIndex]) -> list[Path]:
        """Return the files that hold rows of a day.

        Raises:
            SourceDayMissing: none does.
        """
        found = [path for path, index in indexes.items() if day in index.days]
        if found:
            return found
        held = sorted({day for index in indexes.values() for day in index.days})
        why = f"its rows are of {held[0]}..{held[-1]}" if held else "it has no rows"
        raise SourceDayMissing(self.path, day, why, "Wait for its delivery, then run again.")

    def _frame(
        self,
        spark: SparkSession,
        pieces: Sequence[Piece],
        days: Sequence[date],
        columns: Sequence[Column],
        types: Sequence[str | None],
    ) -> DataFrame:
        """Return the rows of `days` in files that hold the columns in the same raw types."""
        names = [column.name for column in columns]
        is_declared = self.day_column in names
        # One that is declared is read once, as it is: its place is where it is declared.
        read_too = [] if is_declared else [Column(name=_DAY, dtype="string", known="")]
        told = types if read_too else types[:-1]
        raw = arrow_schema(spark, schema([*columns, *read_too], told))
        described = schema(columns, types[:-1])
        pick = _Pick(
            days=tuple(sorted(set(days))),
            place=1 + (names.index(self.day_column) if is_declared else len(names)),
            is_declared=is_declared,
            unit=self.unit,
            target=arrow_schema(spark, described),
        )
        wanted = names if is_declared else [*names, self.day_column]
        return frame(spark, pieces, described, lambda piece: map(pick.of, read(piece, wanted, raw)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pick:
    """Which rows of a batch are wanted, and what is kept of them."""

    days: tuple[date, ...]
    place: int
    """Where in a batch the day column is."""
    is_declared: bool
    unit: Unit | None
    target: pa.Schema

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of the days; one of no day, which the file had not before, stays."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ds = pc.coalesce(days_of(batch.column(self.place), self.unit), batch.column(0))
        columns = [ds, *batch.columns[1:]]
        if not self.is_declared:
            del columns[self.place]
        is_wanted = pc.is_in(ds, pa.array(self.days, pa.date32()))
        return pa.RecordBatch.from_arrays(columns, schema=self.target).filter(is_wanted)
