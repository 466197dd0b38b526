"""What generated rows are drawn with, as Spark SQL text: numbers that follow from a seed alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

TURN = f"{2 * math.pi!r}D"
"""A full turn, for what comes and goes with the days."""


class Seeded(Protocol):
    """A generator's settings; two that differ only in the seed give other rows throughout."""

    @property
    def seed(self) -> int: ...  # noqa: D102


def salt_number(settings: Seeded, salt: str) -> str:
    """Return a 63-bit literal for the seed and a name: hashing a number is less code than a text.

    Whatever grows a generated Java method past 8000 bytes is never compiled to machine code.
    """
    digest = hashlib.sha256(f"{settings.seed} {salt}".encode()).digest()
    return f"{int.from_bytes(digest[:8]) >> 1}L"


def uniform(settings: Seeded, salt: str, *fields: str) -> str:
    """Return a number in (0, 1) that depends on the seed, the salt and `fields` alone."""
    parts = ", ".join([salt_number(settings, salt), *fields])
    return f"(((xxhash64({parts}) & {2**52 - 1}L) + 0.5D) / {2**52}D)"


def effect(settings: Seeded, deviation: float, salt: str, *fields: str) -> str:
    """Return a fixed effect of mean 0 and the given standard deviation."""
    width = math.sqrt(12.0) * deviation
    return f"({width!r}D * ({uniform(settings, salt, *fields)} - 0.5D))"


def zipf(drawn: str, size: int) -> str:
    """Return a rank in 1..size; rank k comes up about in proportion to 1/k."""
    return f"least(floor(power({size + 1}D, {drawn})), {size})"


def pick(drawn: str, size: int) -> str:
    """Return one of 0..size-1, all equally likely."""
    return f"cast(floor({drawn} * {size}) AS int)"


def label(prefix: str, number: str) -> str:
    """Return a category's name, such as `k7`."""
    return f"concat('{prefix}', cast({number} AS string))"


def instant(day: str, seconds: str) -> str:
    """Return the time so many seconds after the day, a number since 1970, begins in UTC."""
    return f"timestamp_seconds({day} * 86400L + cast(floor({seconds}) AS bigint))"


def logistic(*terms: str) -> str:
    """Return the probability whose log-odds are the sum of the terms."""
    return f"1D / (1D + exp(-({' + '.join(terms)})))"


def with_columns(rows_df: DataFrame, *steps: Mapping[str, str]) -> DataFrame:
    """Return the rows with each step's columns, which may take those of the steps before it."""
    for step in steps:
        rows_df = rows_df.selectExpr("*", *[f"{sql} AS `{name}`" for name, sql in step.items()])
    return rows_df


def kept(rows_df: DataFrame, condition: str) -> DataFrame:
    """Return the rows that satisfy a condition, which is looked at where the rows are made.

    Spark would rather look at it first of all, and writes into it whatever its columns are made of,
    several times over: a day of orders took 27 seconds and not 4. It moves no condition past a
    number that depends on where a row lies.
    """
    numbered_df = rows_df.selectExpr("*", "monotonically_increasing_id() AS _place")
    return numbered_df.where(f"({condition}) AND _place >= 0").drop("_place")
