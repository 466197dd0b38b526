"""What `features` measures: a pipeline of the generated shop, how large, on which days.

The rows are delivered as Parquet files, a folder for each table and day, which both contenders
read; the pipeline is the shipped one, with the first of its labels, but for where its rows come
from and how many days it holds out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from feature_store.definition import Definition, Product, Rows, Stream
from feature_store.definitions import load
from feature_store.sources.files import DailyFiles
from feature_store.sources.shop import ShopTable, Table
from feature_store.sources.shop_settings import FIRST_DAY, Shop
from feature_store.streams.shop_size import shop_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Pipeline = Literal["shop_ads", "shop_reorder"]
TABLES: Mapping[Pipeline, tuple[Table, ...]] = {
    "shop_ads": ("impressions", "clicks", "users", "items"),
    "shop_reorder": ("orders", "users", "items"),
}
ROWS_AT_SCALE_1: Mapping[Pipeline, int] = {"shop_ads": 5_000, "shop_reorder": 75_000}
"""Ads, or pairs, of one day of a shop of scale 1. How many pairs there are follows from who ordered
lately: it is about so many, and the table says how many there were."""
WINDOWS: Mapping[Pipeline, int] = {"shop_ads": 28, "shop_reorder": 84}
"""Days of the longest history window."""
SPLITS = ("train", "valid", "eval")
"""One day each, as far apart as labels take to be settled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One pipeline at one size."""

    pipeline: Pipeline
    size: int
    """Ads a day, or pairs to score a day."""
    history: int
    """Days before the first that is scored."""

    def __post_init__(self) -> None:
        if not 1 <= self.history <= WINDOWS[self.pipeline]:
            raise ValueError(
                f"{self.pipeline}: {self.history} days of history: must be 1 to "
                f"{WINDOWS[self.pipeline]}, the days of its longest window"
            )

    @property
    def name(self) -> str:
        """Its name, for a person and for a folder."""
        return f"{self.pipeline}-{self.size}-{self.history}d"

    @property
    def shop(self) -> Shop:
        """The shop that has so many."""
        return shop_of(str(self.size / ROWS_AT_SCALE_1[self.pipeline]))

    @property
    def splits(self) -> dict[str, date]:
        """The scored day of each split."""
        first, wait = FIRST_DAY + timedelta(days=self.history), _measured(self.pipeline).label_days
        return {split: first + timedelta(days=wait * n) for n, split in enumerate(SPLITS)}

    @property
    def scored(self) -> list[date]:
        """The days that are scored."""
        return list(self.splits.values())

    @property
    def delivered(self) -> list[date]:
        """The days that are delivered: all until the last label is told."""
        found = _measured(self.pipeline)
        last = found.outcome_days(found.outcomes[0], self.scored[-1])[-1]
        return [FIRST_DAY + timedelta(days=n) for n in range((last - FIRST_DAY).days + 1)]

    def data_digest(self) -> str:
        """Return 16 hex digits over what decides the delivered rows."""
        days = self.delivered
        sources = [ShopTable(table=table, shop=self.shop) for table in TABLES[self.pipeline]]
        prints = [source.fingerprint(day) for source in sources for day in days]
        return hashlib.sha256(" ".join(prints).encode()).hexdigest()[:16]

    def deliver(self, spark: SparkSession, folder: Path) -> None:
        """Write the rows of every table as Parquet files, a folder for each day."""
        spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        for table in TABLES[self.pipeline]:
            rows = ShopTable(table=table, shop=self.shop).read(spark, self.delivered)
            # What nobody delivers: the name of the file, which says that rows were generated.
            told = rows.drop("source_file")
            told.write.partitionBy("ds").parquet(str(folder / table))

    def definition(self, folder: Path) -> Definition:
        """Return the pipeline that reads those files and holds out a day for each split."""
        found = _measured(self.pipeline)
        return replace(
            found,
            spine=_spine(found.spine, folder),
            labels=(_of_stream(found.outcomes[0], folder),),
            histories=tuple(_of_stream(history, folder) for history in found.histories),
            sequences=tuple(_of_stream(sequence, folder) for sequence in found.sequences),
            lookups=tuple(
                replace(lookup, stream=_stream(lookup.stream, folder)) for lookup in found.lookups
            ),
            training=replace(found.training, validation_days=1),
            first_day=self.scored[0],
        )


def _measured(pipeline: str) -> Definition:
    """Return a pipeline as far as it is measured: with the first of its labels, and no scores."""
    found = load(pipeline)
    checks = tuple(check for check in found.checks if check.stage == "features")
    gate = replace(found.gate, label="")
    return replace(found, labels=found.labels[:1], checks=checks, gate=gate)


def _files(source: Any, folder: Path) -> DailyFiles:
    assert isinstance(source, ShopTable)
    return DailyFiles(folder=str(folder / source.table), format="parquet")


def _stream(stream: Stream, folder: Path) -> Stream:
    return replace(stream, source=_files(stream.source, folder))


def _of_stream(part: Any, folder: Path) -> Any:
    """Return a history, an outcome or a side of the spine with its stream read from the files."""
    return part if part.stream is None else replace(part, stream=_stream(part.stream, folder))


def _spine(spine: Any, folder: Path) -> Rows | Product:
    if isinstance(spine, Rows):
        return Rows(_stream(spine.stream, folder))
    assert isinstance(spine, Product)
    return replace(
        spine, left=_of_stream(spine.left, folder), right=_of_stream(spine.right, folder)
    )
