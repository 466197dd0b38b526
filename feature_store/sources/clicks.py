"""Impressions and clicks, generated: any size, the same rows every time, the truth known.

A row is a pure function of (seed, ds, row number), written in Spark's own functions, so that a day
of 10^8 rows is made in parallel. Users and items follow Zipf's law. The probability of a click is
planted: users, items and slots have effects of their own, and pairs of fields have effects that no
single field shows (segment x category, hour x device, price x income); tastes drift over months and
move with the week. `bayes_metrics` says how well the best possible model can do. The probability
itself never leaves this module.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar

from feature_store.definition.common_rules import within
from feature_store.errors import SourceDayMissing
from feature_store.sources import clicks_rows
from feature_store.sources.best_possible import BayesMetrics, best_possible

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FORMAT = "1"
"""Raised when rows are generated differently; part of every fingerprint."""

FIRST_DAY = date(2026, 1, 1)
MAX_ROWS_PER_DAY = 100_000_000
_AUC_ROWS = 2_000_000
"""Rows whose true probability is brought to the driver to compute the best possible AUC."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clicks:
    """Candidates (user, item, slot) planned the evening before, and whether they were clicked.

    A share `late_share` of the rows is planned only after midnight UTC of `ds` (too late to be
    scored), the same share of the clicks is reported one to three days later, and `copy_share` of
    the rows comes twice, equal in every column.
    """

    revision: ClassVar[int] = 1

    seed: int = 7
    rows_per_day: int = 20_000
    users: int = 50_000
    items: int = 5_000
    late_share: float = 0.005
    copy_share: float = 0.005

    def __post_init__(self) -> None:
        ranges = {
            "rows_per_day": (1, MAX_ROWS_PER_DAY),
            "users": (1, 10**9),
            "items": (1, 10**8),
            **dict.fromkeys(("late_share", "copy_share"), (0, 0.5)),
        }
        for name, value, rule in within(self, ranges, "Clicks."):
            raise ValueError(f"{name}={value!r}: {rule}")

    def fingerprint(self, day: date) -> str:
        """Return a digest of the generator's settings and the day.

        Raises:
            SourceDayMissing: the day is before the log begins.
        """
        self._require([day])
        text = json.dumps([FORMAT, asdict(self), day.isoformat()])
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self, spark: SparkSession, days: Sequence[date]) -> DataFrame:
        """Return the rows of `days`, typed, late and repeated ones among them.

        Raises:
            SourceDayMissing: a day is before the log begins.
        """
        self._require(days)
        return clicks_rows.observed(clicks_rows.impressions(spark, self, days, copies=True))

    def bayes_metrics(self, spark: SparkSession, days: Sequence[date]) -> BayesMetrics:
        """Return the best possible AUC and logloss over `days`, from the true probabilities.

        Up to 2 million rows are looked at; late rows and copies are left out.
        """
        self._require(days)
        rows_df = clicks_rows.impressions(spark, self, days, copies=False)
        # Row numbers carry no meaning, so the first ones of a day are a sample of it.
        on_time = rows_df.where(f"NOT _late AND _row < {-(-_AUC_ROWS // len(days))}")
        return best_possible(on_time.select("_p").toArrow()["_p"].to_numpy())

    def _require(self, days: Sequence[date]) -> None:
        for day in days:
            if day < FIRST_DAY:
                raise SourceDayMissing(
                    "clicks", day, f"the log begins on {FIRST_DAY}", "Ask for a later day."
                )
