"""Spark for those who need it: started by the first question that only Spark can answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Session:
    """A Spark session that is there once somebody asked for it.

    What reads small tables of a local home never asks, and saves the seconds of Spark's start.
    """

    def __init__(self, begin: Callable[[], SparkSession]) -> None:
        """Start nothing yet.

        Args:
            begin: returns a running session; called once at most.
        """
        self._begin = begin
        self._spark: SparkSession | None = None

    @property
    def is_started(self) -> bool:
        """Whether somebody asked for it."""
        return self._spark is not None

    def start(self) -> SparkSession:
        """Return the session, started now if it was not before."""
        if self._spark is None:
            self._spark = self._begin()
        return self._spark
