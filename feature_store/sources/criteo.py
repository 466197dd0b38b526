"""The raw Criteo display-advertising log: label, 13 counts, 26 hashed categories; no times."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources.daycache import require_whole
from feature_store.sources.digests import content_digest
from feature_store.sources.textlog import first_line, split_lines

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NUMERIC = tuple(f"i{n}" for n in range(1, 14))
CATEGORICAL = tuple(f"c{n}" for n in range(1, 27))
_LABELLED = ("label", *NUMERIC, *CATEGORICAL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Criteo:
    """One file per day, as in the one-terabyte log (`day_0` ...): file n is `first_day` + n days.

    Takes tab-separated lines with or without a label, and the CSV form with `Id,Label` first; plain
    or `.gz`. The log has no times, so they are stated: a row is planned an hour before midnight
    UTC, happens at noon, and its label is known at the end of the day. `row_id` is a hash of the
    line and of which copy of it this is, so equal lines stay apart.
    """

    revision: ClassVar[int] = 1

    folder: str
    files: tuple[str, ...] = field(metadata={"is_data": True})
    first_day: date

    def fingerprint(self, day: date) -> str:
        """Return a digest of the day's file.

        Raises:
            SourceDayMissing: there is no file for the day.
        """
        path = self._path(day)
        text = f"{path.name} {path.stat().st_size} {content_digest(path)}"
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days` as text: row_id, label, i1..i13, c1..c26 and the stated times.

        Raises:
            SourceDayMissing: there is no file for a day.
            SourceCorrupt: a file is not in one of the formats.
        """
        parts = [self._read_day(spark, day) for day in days]
        return reduce(lambda left, right: left.unionByName(right), parts)

    def _path(self, day: date) -> Path:
        number = (day - self.first_day).days
        if not 0 <= number < len(self.files):
            last = self.first_day + timedelta(days=len(self.files) - 1)
            why = f"there are files for {self.first_day}..{last}"
            raise SourceDayMissing("criteo", day, why, "Add the file to the source.")
        path = Path(self.folder) / self.files[number]
        if not path.is_file():
            raise SourceDayMissing(
                "criteo", day, f"{path} is not there", "Fetch it, then run again."
            )
        return path

    def _read_day(self, spark: SparkSession, day: date) -> DataFrame:
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        path = self._path(day)
        require_whole(path)
        names, delimiter, header = _layout(path)
        rows = split_lines(spark, path, names, delimiter, header)
        # Equal lines are interchangeable, so any order numbers them the same.
        copy = F.row_number().over(Window.partitionBy("line").orderBy(F.lit(0)))
        midnight = F.lit(day).cast("timestamp")
        label = F.col("label") if "label" in names else F.lit(None).cast("string")
        return rows.withColumn("copy", copy).select(
            F.lit(day).alias("ds"),
            F.xxhash64("line", "copy").alias("row_id"),
            label.alias("label"),
            *NUMERIC,
            *CATEGORICAL,
            (midnight - F.expr("INTERVAL 1 HOUR")).alias("planned_at"),
            (midnight + F.expr("INTERVAL 12 HOURS")).alias("shown_at"),
            (midnight + F.expr("INTERVAL 24 HOURS")).alias("label_known_at"),
            "_corrupt_record",
            "source_file",
        )


def _layout(path: Path) -> tuple[tuple[str, ...], str, str]:
    """Return (column names, delimiter, beginning of the header line) of a file."""
    line = first_line(path)
    if line.lower().startswith("id,"):
        names = tuple(name.lower() for name in line.split(","))
        if set(_LABELLED[1:]) <= set(names):
            return names, ",", line[:3]
    values = line.count("\t") + 1
    if values == len(_LABELLED):
        return _LABELLED, "\t", ""
    if values == len(_LABELLED) - 1:
        return _LABELLED[1:], "\t", ""
    raise SourceCorrupt(
        f"source file {path}: first line has {values} tab-separated values; the Criteo format has "
        "40 (39 without a label), or a header Id,Label,I1..I13,C1..C26. Name the right file."
    )
