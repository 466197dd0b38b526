"""What every step is given: the pipeline, where its state lives, and how to reach Spark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feature_store.features.values import check_expressions
from feature_store.schema import EVENTS, stream_table
from feature_store.session import Session
from feature_store.tables.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition
    from feature_store.home import Home


@dataclass(frozen=True, slots=True)
class Context:
    """One pipeline under one home, in one Spark application."""

    definition: Definition
    home: Home
    warehouse: Warehouse
    answers: dict[tuple[object, ...], object] = field(default_factory=dict, compare=False)
    """What was found out about the tables at some version, so that it is asked once."""

    @property
    def events(self) -> str:
        """The table of events whose rows are scored; empty where the days before tell what is."""
        stream = self.definition.stream
        return stream_table(stream.name, EVENTS) if stream else ""

    @property
    def spark(self) -> SparkSession:
        """The Spark session, started now if nobody needed it before."""
        return self.warehouse.spark

    @classmethod
    def open(cls, definition: Definition, home: Home, spark: SparkSession) -> Context:
        """Return the context of a pipeline in a session that runs; reads no table yet.

        Raises:
            DefinitionError: Spark reads an expression otherwise than the definition's own check.
        """
        context = cls.opened_later(definition, home, lambda: spark)
        context.warehouse.session.start()
        return context

    @classmethod
    def opened_later(
        cls, definition: Definition, home: Home, start: Callable[[], SparkSession]
    ) -> Context:
        """Return the context of a pipeline, whose session is started by the first who needs it.

        Whoever does meets the DefinitionError that `open` raises.
        """

        def started() -> SparkSession:
            spark = start()
            check_expressions(spark, definition)
            return spark

        return cls(definition, home, Warehouse(Session(started), home, definition.name))
