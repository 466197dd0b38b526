"""What every step is given: the pipeline, where its state lives, and how to reach Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from feature_store.features.values import check_expressions
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
    spark: SparkSession
    warehouse: Warehouse
    answers: dict[tuple[object, ...], object] = field(default_factory=dict, compare=False)
    """What was found out about the tables at some version, so that it is asked once."""

    @classmethod
    def open(cls, definition: Definition, home: Home, spark: SparkSession) -> Context:
        """Return the context of a pipeline; reads no table yet.

        Raises:
            DefinitionError: Spark reads an expression otherwise than the definition's own check.
        """
        check_expressions(spark, definition)
        return cls(definition, home, spark, Warehouse(spark, home, definition.name))
