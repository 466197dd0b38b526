"""Expressions as Spark reads and evaluates them: a bad row has no value, and ends no night."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from feature_store.definition import Column, History, Label, row_type
from feature_store.definition.expressions import columns_of
from feature_store.definition.functions import FUNCTIONS
from feature_store.definitions import clicks, flights
from feature_store.errors import DefinitionError
from feature_store.features import values
from feature_store.features.asks import Wanted
from feature_store.features.histories import asked, window_sums
from feature_store.features.labels import row_labels
from feature_store.features.tiles import build_tiles
from feature_store.features.values import check_expressions, evaluated, number
from feature_store.home import Home
from jobs.context import Context
from tests.toy import COLUMNS, Row, Rows, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feature_store.definition import Definition

SCHEMA = "ds date, n int, big bigint, x double, word string, at timestamp, flag boolean"
BAD: list[tuple[Any, ...]] = [
    # Each expression below has no value for at least one of these rows, and one for the last.
    (None, None, None, None, None, None),
    (0, 0, 0.0, "", datetime(1970, 1, 1, tzinfo=UTC), False),
    (2**31 - 1, 2**63 - 1, 1.7e308, "x", datetime(9999, 12, 31, tzinfo=UTC), True),
    (-(2**31), -(2**63), -1.7e308, "-1e999", datetime(1900, 1, 1, tzinfo=UTC), False),
    (-1, -1, -0.5, "2026-02-30", datetime(2026, 2, 28, tzinfo=UTC), True),
    (4, 4, 4.0, "4", datetime(2026, 1, 4, tzinfo=UTC), True),
]
EXPRESSIONS = [
    ("1 / x", 0.25),
    ("1 / n + 1 / n", 0.5),
    ("n % 0 + n", None),
    ("mod(8, n)", 0.0),
    ("8 DIV n", 2.0),
    ("n + 1", 5.0),
    ("n * n", 16.0),
    ("-n", -4.0),
    ("abs(n)", 4.0),
    ("big + 1", 5.0),
    ("big * big", 16.0),
    ("x * 2", 8.0),
    ("x * x - x * x", 0.0),
    ("sqrt(x)", 2.0),
    ("ln(x) - ln(x)", 0.0),
    ("log10(x) * 0", 0.0),
    ("pow(x, 400)", 2.0**800),
    ("exp(x) * 0", 0.0),
    ("acos(x - 4)", 1.5707963267948966),
    ("cast(word AS int)", 4.0),
    ("cast(word AS double)", 4.0),
    ("cast(x AS int)", 4.0),
    ("cast(big AS int)", 4.0),
    ("cast(x AS decimal(5, 2))", 4.0),
    ("word + 1", 5.0),
    ("split(word, ',')[0] = '4'", 1.0),
    ("split(word, ',')[1] IS NULL", None),
    ("element_at(split('a,b,c,d', ','), n) = 'd'", 1.0),
    ("substr(word, n, n) = ''", 1.0),
    ("regexp_extract(word, '(4)', n - 3) = '4'", 1.0),
    ("word RLIKE concat('(', word, ')')", 1.0),
    ("datediff(to_date(word, 'd'), date '1970-01-01')", 3.0),
    ("unix_timestamp(word, 'd')", 259200.0),
    ("make_date(2026, n, n) = date '2026-04-04'", 1.0),
    ("day(date_add(date '2026-01-01', n))", 5.0),
    ("unix_seconds(timestamp_seconds(big))", 4.0),
    ("year(add_months(at, n))", 2026.0),
    ("year(at)", 2026.0),
    ("width_bucket(x, 0, 8, n)", 3.0),
    ("round(x, 1) / n", 1.0),
    ("n > 1 AND 8 / n > 1", 1.0),
    ("x + 1 / 0", None),
    ("1 / 0 + n", None),
    ("if(n = 0, 0, 8 / n)", 2.0),
    ("try_divide(1, x)", 0.25),
    ("(1 / x) BETWEEN 0 AND 1", 1.0),
    # Conditions that fail, with a branch that is the same for all rows.
    ("nullif(1 / n, 2)", 0.25),
    ("nullifzero(1 / n)", 0.25),
    ("if(1 / n = 2, NULL, 1 / n)", 0.25),
    ("CASE WHEN 1 / n = 2 THEN 0 ELSE 1 / n END", 0.25),
    ("CASE WHEN 1 / n > 0 THEN 1 ELSE 0 END", 1.0),
    ("nvl2(1 / n, 1 / n, 2)", 0.25),
    ("coalesce(1 / n, 1 / x, 7)", 0.25),
    ("NOT (1 / n > 1)", 1.0),
    ("(1 / n) IS NULL", 0.0),
    ("(1 / n) IN (0.25, 1)", 1.0),
    ("flag", 1.0),
]


@pytest.fixture
def bad_rows(spark: SparkSession) -> Any:
    return spark.createDataFrame([(toy_days(1)[0], *row) for row in BAD], SCHEMA)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_row_that_cannot_be_evaluated_has_no_value(
    spark: SparkSession, bad_rows: Any, is_compiled: bool
) -> None:
    """One plan of all of them: what several share must not be worked out beforehand either."""
    columns = [number(spark, text).alias(f"v{i}") for i, (text, _) in enumerate(EXPRESSIONS)]
    mode = "spark.sql.codegen.factoryMode"
    before = spark.conf.get(mode)
    spark.conf.set(mode, "CODEGEN_ONLY" if is_compiled else "NO_CODEGEN")
    spark.conf.set("spark.sql.codegen.wholeStage", str(is_compiled).lower())
    try:
        rows = bad_rows.repartition(1).select(F.col("n").alias("n"), *columns).collect()
    finally:
        spark.conf.set(mode, before)
        spark.conf.set("spark.sql.codegen.wholeStage", "false")
    found = {row[0]: row[1:] for row in rows}
    for index, (text, wanted) in enumerate(EXPRESSIONS):
        assert found[4][index] == wanted, text
    largest = [abs(value) for row in rows for value in row[1:] if value is not None]
    assert max(largest) < float("inf")
    never = [
        text for i, (text, _) in enumerate(EXPRESSIONS) if all(r[i + 1] is not None for r in rows)
    ]
    assert never == []


def test_an_overflow_is_no_value_rather_than_another_number(
    spark: SparkSession, bad_rows: Any
) -> None:
    texts = ("n + 1", "big * 2", "cast(big AS int)", "cast(x AS bigint)", "-n")
    rows = bad_rows.where("n > 10 OR n < -10").select(*[number(spark, t).alias(t) for t in texts])
    assert [list(row) for row in rows.orderBy("`n + 1`").collect()] == [
        [None, None, None, None, -2147483647.0],
        [-2147483647.0, None, None, None, None],
    ]


def trap(value: str, **changes: Any) -> Definition:
    """The toy pipeline with one history, of `value`."""
    history = History(
        name="h", keys=("item",), value=value, known="click", windows=(2,), aggregates=("sum",)
    )
    return plain_toy(histories=(history,), **changes)


def plain_toy(**changes: Any) -> Definition:
    """The toy pipeline with two features, so that a label may be made of the price."""
    toy = toy_definition(())
    return changed(toy, features=toy.features[:2], checks=(), **changes)


def test_a_bad_row_takes_nothing_from_the_others_in_tiles_and_labels(spark: SparkSession) -> None:
    rows = tuple(
        Row(day=0, user=f"u{price}", item="x", price=price, click_known=13)
        for price in (0.0, 2.0, 4.0, None)
    )
    label = Label(name="cheap", expression="1 / price > 0.3", known="click")
    definition = trap("1 / price", labels=(label,))
    events = Rows(rows).read(spark, toy_days(1)).drop("source_file")
    tiles, next_day = build_tiles(events, definition.tilings(definition.stream)), toy_days(2)[1:]
    asking = asked(Rows((replace(rows[0], day=1),)).read(spark, next_day), Wanted.of(definition))
    sums = window_sums(asking, tiles, Wanted.of(definition), next_day).collect()
    assert [(row["_n_0"], row["_total_0"]) for row in sums] == [(2, 0.75)]
    labels = row_labels(events, definition, [label]).where(F.col("y_cheap").isNotNull())
    assert {row["user"]: row["y_cheap"] for row in labels.collect()} == {"u2.0": 1.0, "u4.0": 0.0}


def test_a_label_is_known_when_all_it_is_made_of_is(spark: SparkSession) -> None:
    rows = tuple(
        Row(day=0, user=user, item="x", planned=planned, click_known=13)
        for user, planned in (("a", -6), ("b", 40))
    )
    label = Label(name="clicked", expression="clicked AND price > 0", known="click")
    events = Rows(rows).read(spark, toy_days(1)).drop("source_file")
    found = row_labels(events, plain_toy(labels=(label,)), [label])
    midnight = F.unix_timestamp(F.col("ds").cast("timestamp"))
    seconds = F.unix_timestamp("_known_clicked") - midnight
    hours = found.select("user", (seconds / 3600).alias("h"))
    assert {row["user"]: row["h"] for row in hours.collect()} == {"a": 13.0, "b": 40.0}


@pytest.mark.parametrize(
    "value",
    [
        "price BETWEEN 1 AND 2",
        "nullif(price, 0) / 2",
        "CASE WHEN clicked THEN price ELSE 0 END",
        "item IN ('a', 'b') AND item LIKE 'a%' OR user RLIKE '^b'",
        "coalesce(price, 0) + if(clicked, 1, 2)",
        "cast(split(item, ',')[0] AS int) DIV 2",
        "unix_timestamp(happened_at) - unix_timestamp(planned_at)",
        "happened_at > timestamp '2026-01-01 12:00:00' AND to_date(item) > date'2026-01-01'",
        "hour(to_timestamp(item, 'HH:mm'))",
        "item IS DISTINCT FROM user AND NOT clicked <=> true",
        "round(try_divide(price, 3), 2)",
    ],
)
def test_spark_reads_what_may_be_written(spark: SparkSession, value: str) -> None:
    check_expressions(spark, trap(value))


REFUSED = [
    ("item", "is of type string, and must be boolean"),
    ("concat(item, user)", "is of type string, and must be boolean or a number"),
    ("happened_at - planned_at", "is of type interval"),
    ("split(item, ',')", "is of type array<string>"),
    ("price > 1 2", "Spark cannot read it"),
    ("(price > 1", "Spark cannot read it"),
    ("price +", "Spark cannot read it"),
    ("floor(price, 1, 2, 3)", "Spark cannot read it"),
    ("price AND clicked", "Spark cannot read it"),
    ("clicked > happened_at", "Spark cannot read it"),
    ("planned_at > '18:00:00'", "makes a time of a text, and '18:00' would be one of today"),
    ("hour(item)", "makes a time of a text"),
    ("unix_timestamp(to_timestamp(item))", "makes a time of a text"),
    ("cast(item AS timestamp) > planned_at", "makes a time of a text"),
    ("to_date('today') = to_date(item)", "makes a date of a text"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=[value for value, _ in REFUSED])
def test_what_spark_reads_otherwise_is_refused_before_a_step(
    spark: SparkSession, home: Home, value: str, text: str
) -> None:
    with pytest.raises(DefinitionError, match=text):
        Context.open(trap(value), home, spark)


def test_a_label_that_is_no_boolean_is_refused(spark: SparkSession) -> None:
    label = Label(name="clicked", expression="price + 1", known="click")
    with pytest.raises(DefinitionError, match="is of type double, and must be boolean"):
        check_expressions(spark, plain_toy(labels=(label,)))


UNSOUND = [
    "rand() > price",
    "count(price)",
    "max(price)",
    "price > (SELECT 1)",
    "now() > planned_at",
    "CLICKED",
    "sum(price) OVER (PARTITION BY item)",
    "explode(array(price))",
]


@pytest.mark.parametrize("value", UNSOUND)
def test_spark_refuses_by_itself_what_the_first_check_would_let_through(
    spark: SparkSession, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two locks: here the first stands open, and lets any expression pass as one of `price`."""
    leave_open(monkeypatch, value, {"price"})
    with pytest.raises(DefinitionError, match=r"h='.*(Spark|many rows|its row alone)"):
        check_expressions(spark, trap(value))


@pytest.mark.parametrize(
    ("value", "names"),
    [("now() > planned_at AND price > 0", {"price", "planned_at"}), ("rand() > price", {"price"})],
)
def test_spark_refuses_what_is_not_of_its_row(
    spark: SparkSession, value: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_open(monkeypatch, value, names)
    with pytest.raises(DefinitionError, match="a value is made of its row alone"):
        check_expressions(spark, trap(value))


def leave_open(monkeypatch: pytest.MonkeyPatch, value: str, names: set[str]) -> None:
    """Let the check at load take `value` for an expression over `names`."""

    def read(expression: str, columns: Any) -> frozenset[str]:
        return frozenset(names) if expression == value else columns_of(expression, columns)

    monkeypatch.setattr(row_type, "columns_of", read)


def test_names_that_are_words_of_sql_are_the_columns_in_back_ticks(spark: SparkSession) -> None:
    names = ("end", "from", "case", "left", "date", "user")
    extra = [Column(name=n, dtype="double", known="plan") for n in names if n != "user"]
    value = " + ".join(f"`{name}`" for name in names if name != "user")
    definition = trap(value, columns=(*COLUMNS, *extra))
    check_expressions(spark, definition)
    assert definition.stream.taken_by(value) == {c.name for c in extra}


def test_every_function_that_is_allowed_is_one_of_sparks(spark: SparkSession) -> None:
    known = {function.name for function in spark.catalog.listFunctions()}
    assert sorted(FUNCTIONS - known) == []


def test_the_shipped_definitions_pass_and_are_looked_at_once(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for definition in (flights.DEFINITION, clicks.DEFINITION, toy_definition(())):
        check_expressions(spark, definition)
    before = values._resolved.cache_info().misses
    check_expressions(spark, changed(flights.DEFINITION, description="the same expressions"))
    assert values._resolved.cache_info().misses == before
    assert evaluated(spark, "1 / price") is not None
