"""Expressions of a definition, resolved and evaluated by Spark: what labels and histories hold.

A row for which an expression cannot be evaluated (a division by zero, an overflow, text that is no
number) has no value: one such row must neither end a night nor become another number in silence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any

from py4j.java_gateway import is_instance_of
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.classic.column import Column as ClassicColumn

from feature_store.definition import Active, Label, Product
from feature_store.errors import DefinitionError
from feature_store.schema import DS

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

    from feature_store.definition import Definition, History, RowType, Sequence

_INFINITY = float("inf")
_WHOLE = ("boolean", "tinyint", "smallint", "int")
_FRACTIONS = ("bigint", "float", "double")
_REPLACED = "org.apache.spark.sql.catalyst.expressions.RuntimeReplaceable"
_LEAVES = ("AttributeReference", "Literal")
_MANY_ROWS = ("AggregateExpression", "WindowExpression", "ScalarSubquery", "Exists", "ListQuery")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What Spark says of an expression."""

    columns: frozenset[str]
    """The source columns it takes."""
    dtype: str

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers of 32 bits, or true and false."""
        return self.dtype in _WHOLE

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, or true and false."""
        return self.dtype in (*_WHOLE, *_FRACTIONS) or self.dtype.startswith("decimal(")


def check_expressions(spark: SparkSession, definition: Definition) -> None:
    """Do nothing if Spark reads every expression as the definition's own check did.

    Cheap, and done once per definition and session.

    Raises:
        DefinitionError: an expression does not resolve, is not of its type, or takes other columns.
    """
    for label in definition.labels:
        field = f"labels.{label.name}"
        if isinstance(label, Label):
            _require_boolean(spark, definition, definition.row, field, label.expression)
        elif label.at_least is None:
            _require_boolean(spark, definition, label.stream, field, label.value)
        else:
            _require_number(spark, definition, label.stream, field, label.value)
    if isinstance(definition.spine, Product) and definition.spine.where is not None:
        where = definition.spine.where
        _require_boolean(spark, definition, definition.row, "spine.where", where)
    for side in definition.spine.sides:
        if isinstance(side, Active):
            _require_boolean(spark, definition, side.stream, "spine.where", side.counted)
        else:
            _require_number(spark, definition, side.stream, "spine.by", side.counted)
    windowed: list[tuple[str, History | Sequence]] = [
        *((f"histories.{history.name}", history) for history in definition.histories),
        *((f"sequences.{sequence.name}", sequence) for sequence in definition.sequences),
    ]
    for field, part in windowed:
        stream = definition.stream_of(part)
        require = _of_definition if part.takes_any_type else _require_number
        if part.where is not None:
            _require_boolean(spark, definition, stream, f"{field}.where", part.where)
            require(spark, definition, stream, field, part.value)
        require(spark, definition, stream, field, part.counted)
    for derived in definition.derived:
        row, field = definition.seen_by(derived), f"derived.{derived.name}"
        _of_definition(spark, definition, row, field, derived.expression)


def _require_boolean(
    spark: SparkSession, definition: Definition, row: RowType, field: str, expression: str
) -> None:
    found = _of_definition(spark, definition, row, field, expression)
    if found.dtype != "boolean":
        rule = f"is of type {found.dtype}, and must be boolean: write a comparison"
        raise DefinitionError(definition.name, field, expression, rule)


def _require_number(
    spark: SparkSession, definition: Definition, row: RowType, field: str, expression: str
) -> None:
    found = _of_definition(spark, definition, row, field, expression)
    if not found.is_number:
        rule = f"is of type {found.dtype}, and must be boolean or a number"
        raise DefinitionError(definition.name, field, expression, rule)


def _of_definition(
    spark: SparkSession, definition: Definition, row: RowType, field: str, expression: str
) -> Resolved:
    try:
        return resolved(spark, row, field, expression)
    except DefinitionError as error:
        raise DefinitionError(definition.name, field, expression, error.rule) from error


def resolved(spark: SparkSession, row: RowType, field: str, expression: str) -> Resolved:
    """Return what Spark makes of an expression over the declared columns of a stream.

    Raises:
        DefinitionError: it does not resolve, is no function of its row, or takes other columns than
            the definition's own check found.
    """
    columns = ", ".join(f"`{c.name}` {c.dtype}" for c in row.columns)
    try:
        found = _resolved(spark, columns, expression)
    except AnalysisException as error:
        said = " ".join(str(error).split(";")[0].split("\n")[0].split())
        rule = f"Spark cannot read it: {said}. Mend the expression"
        raise DefinitionError(row.name, field, expression, rule, what="stream") from error
    except _Unsound as unsound:
        rule = str(unsound)
        raise DefinitionError(row.name, field, expression, rule, what="stream") from unsound
    declared = row.taken_by(expression)
    if found.columns != declared:
        rule = (
            f"Spark reads it as made of {sorted(found.columns)}, and not of {sorted(declared)}: "
            "write the columns' names in `…`"
        )
        raise DefinitionError(row.name, field, expression, rule, what="stream")
    return found


def evaluated(spark: SparkSession, expression: str) -> Column:
    """Return what an expression gives for a row that has a `ds`; null where it raises an error."""
    jvm: Any = spark._jvm
    session: Any = spark._jsparkSession
    tree = session.sessionState().sqlParser().parseExpression(expression)
    catalyst = jvm.org.apache.spark.sql.catalyst.expressions
    # In a list of one: a condition right below the attempt would be moved above it when the plan
    # is made, and an error in it would end the night after all.
    tried = catalyst.TryEval(catalyst.CreateArray(jvm.PythonUtils.toSeq([tree])))
    value = F.get(ClassicColumn(jvm.org.apache.spark.sql.classic.ExpressionUtils.column(tried)), 0)
    # In a branch, and so not worked out beforehand: neither when the plan is made (1/0), nor
    # because other expressions share a part of it.
    return F.when(F.col(DS).isNotNull(), value)


def number(spark: SparkSession, expression: str) -> Column:
    """Return the value of an expression as a finite double; null where it has none."""
    value = evaluated(spark, expression).cast("double")
    return F.when(F.abs(value) < _INFINITY, value)  # to Spark, NaN is more than infinity


def last_known(row: RowType, known: str, taken: Collection[str]) -> Column:
    """Return when the group `known` and all of `taken` columns became known; null: not yet."""
    groups = {known, *(row.column(name).known for name in taken)}
    times = [F.col(row.known(group).at) for group in sorted(groups)]
    # `greatest` passes over a null, which means never known.
    is_known = reduce(lambda left, right: left & right, [time.isNotNull() for time in times])
    return F.when(is_known, F.greatest(*times)) if len(times) > 1 else times[0]


class _Unsound(Exception):
    """Why an expression is no function of its row."""


@lru_cache(maxsize=1024)
def _resolved(spark: SparkSession, columns: str, expression: str) -> Resolved:
    jvm: Any = spark._jvm
    schema = jvm.org.apache.spark.sql.types.StructType.fromDDL(columns)
    session: Any = spark._jsparkSession
    empty = session.createDataFrame(jvm.java.util.ArrayList(), schema)
    found = DataFrame(empty, spark).select(F.expr(expression).alias("value"))
    plan = found._jdf.queryExecution().analyzed()
    if plan.getClass().getSimpleName() != "Project":
        raise _Unsound("takes many rows: that is what a History is for")
    value = plan.projectList().head()
    if value.getClass().getSimpleName() != "Alias":
        raise _Unsound("gives many rows for one: it must be a value")
    tree = value.child()
    for node in _nodes(spark, tree):
        _require_sound(node)
    if not tree.deterministic():
        raise _Unsound("differs from run to run: a value is made of its row alone")
    names = tree.references().toSeq()
    taken = frozenset(names.apply(index).name() for index in range(names.size()))
    return Resolved(columns=taken, dtype=found.dtypes[0][1])


def _require_sound(node: Any) -> None:
    """Raise _Unsound if a node of an expression reads more than its arguments."""
    kind = node.getClass().getSimpleName()
    if kind in _MANY_ROWS:
        raise _Unsound("takes many rows: that is what a History is for")
    if not node.children().size() and kind not in _LEAVES:
        raise _Unsound(f"{node.sql()} is not of its row: a value is made of its row alone")
    if kind == "Cast" and node.child().dataType().typeName() == "string":
        to = node.dataType().typeName()
        if to == "timestamp":
            # A time of day alone would become one of the day on which it runs.
            raise _Unsound(
                "makes a time of a text, and '18:00' would be one of today: give the format, as in "
                "to_timestamp(x, 'yyyy-MM-dd HH:mm'), or write timestamp '2026-01-31 18:00:00'"
            )
        if to == "date" and node.child().foldable():
            raise _Unsound("makes a date of a text: write date '2026-01-31'")


def _nodes(spark: SparkSession, tree: Any) -> Iterator[Any]:
    """Yield every node of an expression, and what a function is only another name for."""
    yield tree
    children = tree.children()
    for index in range(children.size()):
        yield from _nodes(spark, children.apply(index))
    if is_instance_of(spark.sparkContext._gateway, tree, _REPLACED):
        yield from _nodes(spark, tree.replacement())
