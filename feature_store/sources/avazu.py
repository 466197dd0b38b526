"""The raw Avazu click log: id, click, hour (YYMMDDHH) and 21 fields of site, app and device."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources import daycache
from feature_store.sources.digests import content_digest
from feature_store.sources.textlog import first_line, split_lines

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FIELDS = (
    "c1",
    "banner_pos",
    "site_id",
    "site_domain",
    "site_category",
    "app_id",
    "app_domain",
    "app_category",
    "device_id",
    "device_ip",
    "device_model",
    "device_type",
    "device_conn_type",
    *(f"c{n}" for n in range(14, 22)),
)
_LABELLED = ("id", "click", "hour", *FIELDS)
_UNLABELLED = ("id", "hour", *FIELDS)
_HEADER = "id,"
_HOUR = r"^([0-9]{6})[0-9]{2}$"
_NO_DAY = ""
"""Stands for the day of a line that has none, among the digests of a file."""
_DIGESTS = "2"
"""Raised when lines are shared out to days differently, so that no stored digest is used again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Avazu:
    """Files that hold any number of days; a row's day is in its `hour`.

    A line without an hour, so of no day, counts as one of its file's first day.

    Takes the CSV files of the competition with or without header and click; plain or `.gz`. Times
    are stated: a row is planned an hour before midnight UTC, happens at its `hour` (taken as UTC),
    and its click is known two hours later.
    """

    revision: ClassVar[int] = 1

    folder: str
    files: tuple[str, ...] = field(metadata={"is_data": True})

    def fingerprint(self, day: date) -> str:
        """Return a digest over the day's lines.

        Raises:
            SourceDayMissing: no file has a line of the day.
        """
        per_file = [(path.name, _days(path)) for path in self._paths()]
        found = [f"{name} {days[str(day)]}" for name, days in per_file if str(day) in days]
        if not found:
            held = sorted({held_day for _, days in per_file for held_day in days})
            why = f"the files hold {held[0]}..{held[-1]}" if held else "the files hold no rows"
            raise SourceDayMissing("avazu", day, why, "Add the day's file to the source.")
        return hashlib.sha256("\n".join(found).encode()).hexdigest()

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days` as text: id, click, hour, the 21 fields, and the stated times.

        Raises:
            SourceDayMissing: a day has no rows.
            SourceCorrupt: a file is not in the format.
        """
        from pyspark.sql import functions as F

        for day in days:
            self.fingerprint(day)
        parts = [_read_file(spark, path) for path in self._paths()]
        rows = reduce(lambda left, right: left.unionByName(right), parts)
        midnight = F.col("ds").cast("timestamp")
        return (
            rows.where(F.col("ds").isin(list(days)))
            .withColumn("planned_at", midnight - F.expr("INTERVAL 1 HOUR"))
            .withColumn("click_known_at", F.col("shown_at") + F.expr("INTERVAL 2 HOURS"))
        )

    def _paths(self) -> list[Path]:
        paths = [Path(self.folder) / name for name in self.files]
        for path in paths:
            if not path.is_file():
                raise SourceCorrupt(f"source file {path}: not found. Fetch it, or correct `files`.")
        return paths


def _read_file(spark: SparkSession, path: Path) -> DataFrame:
    from pyspark.sql import functions as F

    names = _names(path)
    rows = split_lines(spark, path, names, ",", _HEADER)
    # Taken from the line itself: one that cannot be split may have its hour all the same.
    hour = F.get(F.split("line", F.lit(",")), F.lit(names.index("hour")))
    digits = F.concat(F.lit("20"), F.regexp_extract(hour, _HOUR, 1))
    day = F.try_to_timestamp(digits, F.lit("yyyyMMdd")).cast("date")
    first_day = F.lit(min(_days(path), default=None)).cast("date")
    click = F.col("click") if "click" in names else F.lit(None).cast("string")
    return rows.select(
        "id",
        click.alias("click"),
        "hour",
        *FIELDS,
        F.coalesce(day, first_day).alias("ds"),
        F.try_to_timestamp(F.concat(F.lit("20"), "hour"), F.lit("yyyyMMddHH")).alias("shown_at"),
        "_corrupt_record",
        "source_file",
    )


def _names(path: Path) -> tuple[str, ...]:
    values = first_line(path).count(",") + 1
    for names in (_LABELLED, _UNLABELLED):
        if values == len(names):
            return names
    raise SourceCorrupt(
        f"source file {path}: first line has {values} comma-separated values; the Avazu format has "
        f"{len(_LABELLED)} ({len(_UNLABELLED)} without click). Name the right file."
    )


def _days(path: Path) -> dict[str, str]:
    """Return a digest of the lines of each day in a file, those of no day with its first day's.

    Raises:
        SourceCorrupt: it has lines, and none of them a day.
    """
    days = dict(_digests(path, content_digest(path)))
    stray = days.pop(_NO_DAY, None)
    if stray is not None and not days:
        raise SourceCorrupt(
            f"source file {path}: no line has an hour written YYMMDDHH, so none has a day. "
            "Name the right file."
        )
    if stray is not None:
        days[min(days)] += f" {stray}"
    return days


@lru_cache(maxsize=64)
def _digests(path: Path, digest: str) -> dict[str, str]:
    day_of_line = _day_of_line(_names(path).index("hour"))
    cache = daycache.cache_root() / "avazu" / f"{digest[:16]}-{_DIGESTS}.days.json"
    return daycache.day_digests(path, cache, day_of_line)


def _day_of_line(position: int) -> Callable[[bytes], bytes | None]:
    def day_of_line(line: bytes) -> bytes | None:
        if line.startswith(_HEADER.encode()):
            return None
        values = line.rstrip(b"\r\n").split(b",", position + 1)
        return _day_of_hour(values[position] if len(values) > position else b"")

    return day_of_line


@lru_cache(maxsize=4096)
def _day_of_hour(hour: bytes) -> bytes:
    """Return the day of an `hour` as YYYY-MM-DD, or _NO_DAY."""
    found = re.fullmatch(_HOUR, hour.decode(errors="replace"))
    try:
        day = str(date.fromisoformat(f"20{found[1]}")) if found else _NO_DAY
    except ValueError:
        day = _NO_DAY
    return day.encode()
