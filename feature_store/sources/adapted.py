"""What the columns of somebody's files are called, count and lack, told beside the files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from feature_store.definition import Column
from feature_store.schema import DS
from feature_store.sources.files import DailyFiles
from feature_store.sources.instants import MICROS_OF, Unit
from feature_store.sources.readers import MARKS
from feature_store.sources.undated import UndatedFiles

if TYPE_CHECKING:
    from pyspark.sql import Column as SparkColumn
    from pyspark.sql import DataFrame, SparkSession

_NUMBER = r"^\s*[+-]?[0-9]{1,14}(\.[0-9]*)?\s*$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapted:
    """Files as `source` reads them, with what is told of their columns besides.

    A value that cannot be what is told of it stays as it is, and is judged like any other.
    """

    # Raised as well when that of a source is that it may hold: it stands for theirs.
    revision: ClassVar[int] = 1

    source: DailyFiles | UndatedFiles
    names: tuple[tuple[str, str], ...] = ()
    """Columns that the files call otherwise: (declared name, name in the files)."""
    seconds: tuple[str, ...] = ()
    """Declared names of times that the files count in seconds since 1970."""
    milliseconds: tuple[str, ...] = ()
    """Declared names of times that the files count in milliseconds since 1970."""
    nulls: tuple[str, ...] = ()
    """Words such as `NA` that stand for a null in columns that are declared as no text."""
    times: tuple[tuple[str, int], ...] = ()
    """Times that the files do not hold: (declared name, hours after midnight UTC of `ds`)."""

    def __post_init__(self) -> None:
        declared = [*(name for name, _ in self.names), *(name for name, _ in self.times)]
        for name in declared:
            if declared.count(name) > 1:
                raise ValueError(f"Adapted: column {name!r} is told of twice")
        theirs = [name.casefold() for _, name in self.names]
        for _, name in self.names:
            if theirs.count(name.casefold()) > 1 or name.casefold() in MARKS or "`" in name:
                raise ValueError(
                    f"Adapted.names: {name!r} in the files: must be there once whatever its case, "
                    f"hold no back-tick, and be none of {', '.join(MARKS)}"
                )
        counted = [*self.seconds, *self.milliseconds]
        for name in counted:
            if counted.count(name) > 1 or name in dict(self.times):
                raise ValueError(f"Adapted: time {name!r} is told of twice")

    def fingerprint(self, day: date) -> str:
        """Return the digest of the day's rows in the files.

        Raises:
            SourceDayMissing: the files hold nothing for the day.
            SourceCorrupt: a file cannot be read.
        """
        return self.source.fingerprint(day)

    def prefetch(self, days: Iterable[date]) -> None:
        """Look at the files of `days` together, before the fingerprint of each is asked for."""
        self.source.prefetch(days)

    def refuse_copies(self, days: Iterable[date]) -> None:
        """Raise SourceCorrupt if a day's file is that of another."""
        self.source.refuse_copies(days)

    def snapshot_days(self) -> list[date]:
        """Return every day of which there are rows."""
        return self.source.snapshot_days()

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days` as the files have them, as text; to look at.

        Raises:
            SourceDayMissing: the files hold nothing for a day.
            SourceCorrupt: a file cannot be read.
        """
        return self.source.read(spark, days)

    def read_parts(
        self, spark: SparkSession, days: Sequence[date], columns: Sequence[Column]
    ) -> list[DataFrame]:
        """Return the rows of `days` in the declared columns, as raw as they can be.

        Raises:
            SourceDayMissing: the files hold nothing for a day.
            SourceCorrupt: a file cannot be read, lacks a column that may not be null, or has one of
                a type that cannot become the declared one.
        """
        stated = dict(self.times)
        theirs = [self._theirs(column) for column in columns if column.name not in stated]
        parts = self.source.read_parts(spark, days, theirs)
        return [self._told(part, columns) for part in parts]

    def _theirs(self, column: Column) -> Column:
        """Return a column as the files have it."""
        name = dict(self.names).get(column.name, column.name)
        is_number = self._unit(column) is not None
        return replace(column, name=name, dtype="double" if is_number else column.dtype)

    def _unit(self, column: Column) -> Unit | None:
        if column.dtype not in ("timestamp", "date"):
            return None
        if column.name in self.seconds:
            return "seconds"
        return "milliseconds" if column.name in self.milliseconds else None

    def _told(self, part: DataFrame, columns: Sequence[Column]) -> DataFrame:
        from pyspark.sql import functions as F

        names, stated, types = dict(self.names), dict(self.times), dict(part.dtypes)
        found = []
        for column in columns:
            unit = self._unit(column)
            if column.name in stated:
                hours = F.expr(f"INTERVAL {stated[column.name]} HOURS")
                value = F.col(DS).cast("timestamp") + hours
            else:
                name = names.get(column.name, column.name)
                raw = F.col(f"`{name}`")
                if self.nulls and types[name] == "string" and column.dtype != "string":
                    raw = F.when(~raw.isin(*self.nulls), raw)
                value = raw if unit is None else _instant(raw, types[name] == "string", unit)
            found.append(value.alias(column.name))
        ds, *others = MARKS
        return part.select(ds, *found, *others)


def _instant(raw: SparkColumn, is_text: bool, unit: Unit) -> SparkColumn:
    """Return a number since 1970 as the text of its time; what is no number stays what it is."""
    from pyspark.sql import functions as F

    number = raw.try_cast("decimal(20,6)")
    if is_text:
        number = F.when(raw.rlike(_NUMBER), number)
    micros = (number * F.lit(MICROS_OF[unit])).try_cast("bigint")
    return F.coalesce(F.timestamp_micros(micros).cast("string"), raw.cast("string"))
