"""Labels that a stream tells some days later: what they are, when they count, what they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from feature_store.definition import Definition, History, Outcome, Stream, Training
from feature_store.errors import PartitionNotReady, UsageError
from feature_store.features.labels import label_column
from feature_store.home import Home
from feature_store.schema import FEATURES, stream_table
from jobs.backfill.freshness import Freshness
from jobs.context import Context
from jobs.night.night import NightRequest, run_night
from jobs.night.prepare import prepare
from jobs.registry import model_registry
from jobs.report.facts import labelled_metrics
from jobs.training.label_rows import labelled_rows
from jobs.training.outcomes import bring_outcomes
from jobs.training.train import train
from jobs.training.training_set import EVAL, TRAIN, VALID, TrainingSet, freeze, split_days
from tests.sales import BUYERS, Sale, sales_stream, some_sales, standing
from tests.toy import Row, clicky_definition, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def buys(stream: Stream, **changes: Any) -> Outcome:
    outcome = Outcome(
        name="buys", stream=stream, keys=("buyer",), on=("user",), value="amount > 0",
        known="told", within_days=2,
    )  # fmt: skip
    return replace(outcome, **changes)


def rows_of(days: int) -> list[Row]:
    return [Row(day=d, user=u, item="x", clicked=u == "a") for d in range(days) for u in BUYERS]


def by_hand(
    sales: Sequence[Sale],
    day: int,
    user: str,
    *,
    within: int,
    settle: int,
    hours: int,
    least: float | None = None,
    of: Callable[[Sale], float] = lambda sale: sale.amount > 0,
) -> float:
    """Return the outcome of a row as its definition says it, from the sales one by one."""
    first = day + max(0, -(-hours // 24))
    settled = 24 * (first + within + settle) + hours
    told = (
        of(sale)
        for sale in standing(sales, settled)
        if sale.buyer == user and first <= sale.day < first + within
    )
    return float(sum(told) >= (least or 1))


def told(context: Context, days: Sequence[date]) -> dict[tuple[int, str], float]:
    """Return the outcome of each row of days, by its day and user, once it is all taken in."""
    prepare(context, days, lambda _: None)
    bring_outcomes(context, days, lambda _: None)
    return {
        ((row["ds"] - days[0]).days, row["user"]): row[label_column("buys")]
        for row in labelled_rows(context, days).collect()
    }


@pytest.mark.parametrize(
    ("within", "settle", "hours"),
    [
        (3, 1, 6),
        (2, 1, 24),
        pytest.param(2, 0, 0, marks=pytest.mark.slow),
        pytest.param(1, 2, -6, marks=pytest.mark.slow),
    ],
)
def test_an_outcome_is_what_was_told_of_its_days_by_the_time_it_is_settled(
    spark: SparkSession, home: Home, within: int, settle: int, hours: int
) -> None:
    sales = some_sales(9)
    outcome = buys(sales_stream(sales), within_days=within, settle_days=settle)
    rows = [replace(row, planned=-30.0) for row in rows_of(5)]
    definition = toy_definition(rows, labels=(outcome,), cutoff_hours=hours, histories=())
    context = Context.open(definition, home, spark)
    days = toy_days(5)
    found = told(context, days)
    wanted = {
        (day, user): by_hand(sales, day, user, within=within, settle=settle, hours=hours)
        for day in range(5)
        for user in BUYERS
    }
    assert found == wanted
    assert 0.0 < sum(wanted.values()) < len(wanted), "or nothing is tried"


@pytest.mark.parametrize(
    ("value", "of"),
    [
        ("amount > 0", lambda sale: sale.amount > 0),
        pytest.param("amount / 2.5", lambda sale: sale.amount / 2.5, marks=pytest.mark.slow),
    ],
)
def test_an_outcome_may_be_how_many_or_how_much(
    spark: SparkSession, home: Home, value: str, of: Callable[[Sale], float]
) -> None:
    sales = some_sales(9, a_day=6)
    outcome = buys(sales_stream(sales), within_days=4, settle_days=1, value=value, at_least=3)
    definition = toy_definition(rows_of(4), labels=(outcome,), histories=())
    context = Context.open(definition, home, spark)
    days = toy_days(4)
    found = told(context, days)
    wanted = {
        (day, user): by_hand(sales, day, user, within=4, settle=1, hours=0, least=3, of=of)
        for day in range(4)
        for user in BUYERS
    }
    assert found == wanted
    assert 0.0 < sum(wanted.values()) < len(wanted), "or nothing is tried"


def clicky(stream: Stream, **changes: Any) -> Definition:
    changes = {"labels": (buys(stream),), **changes}
    return clicky_definition(rows_of(14), **changes)


def opened(spark: SparkSession, home: Home, sales: Sequence[Sale], **changes: Any) -> Context:
    return Context.open(clicky(sales_stream(sales), **changes), home, spark)


def regular_sales(days: int) -> list[Sale]:
    """Return a sale a day to two of the users in turn, and always to the same one."""
    return [
        Sale(day=d, number=n, buyer=buyer, amount=5.0)
        for d in range(days)
        for n, buyer in enumerate(("a", "bc"[d // 3 % 2]))
    ]


DAYS = toy_days(14)


@pytest.mark.slow
def test_a_training_keeps_the_days_of_the_outcome_between_its_splits(
    spark: SparkSession, home: Home
) -> None:
    context = opened(spark, home, regular_sales(11))
    said: list[str] = []
    result = train(
        context, DAYS[0], DAYS[6], DAYS[9], compiled=False, promote=False, on_progress=said.append
    )
    days = result.training_set.manifest["days"]
    assert days == {
        TRAIN: [[str(DAYS[0]), str(DAYS[3])]],
        VALID: [[str(DAYS[5]), str(DAYS[5])]],
        EVAL: [[str(DAYS[7]), str(DAYS[9])]],
    }
    assert result.training_set.rows == 8 * len(BUYERS)
    assert any("streams/sales/events" in line and "label buys" in line for line in said)
    # Nothing that is learned from is known later than what it is judged by begins.
    assert result.evaluations["buys"].auc.value > 0.6

    with pytest.raises(PartitionNotReady, match=rf"last day whose outcome is told is {DAYS[9]}"):
        train(context, DAYS[0], DAYS[6], DAYS[10], on_progress=lambda _: None)


def test_without_days_to_learn_from_a_training_says_what_the_outcome_takes(
    spark: SparkSession, home: Home
) -> None:
    context = opened(spark, home, [])
    with pytest.raises(UsageError, match=r"3 training days.* settled 2 days after its day"):
        train(context, DAYS[0], DAYS[2], None, on_progress=lambda _: None)
    waits = replace(context.definition, labels=(buys(sales_stream([]), settle_days=1),))
    assert split_days(waits, DAYS[:8], []) == {TRAIN: DAYS[:3], VALID: DAYS[5:6]}
    two = replace(waits, training=Training(validation_days=2), cutoff_hours=3)
    assert split_days(two, DAYS[:10], DAYS[10:]) == {
        TRAIN: DAYS[:2],
        VALID: DAYS[5:7],
        EVAL: DAYS[10:],
    }


@pytest.mark.slow
def test_what_is_told_after_an_outcome_is_settled_makes_no_other_training_set(
    spark: SparkSession, home: Home
) -> None:
    sales = regular_sales(10)
    frozen = freeze_with(opened(spark, home, sales))
    after = Sale(day=5, number=9, buyer="d", amount=5.0, known=24 * 30.0)
    again = freeze_with(opened(spark, home, [*sales, after]))
    assert (again.id, again.is_reused) == (frozen.id, True)
    before = replace(after, known=20.0)
    other = freeze_with(opened(spark, home, [*sales, before]))
    assert other.id != frozen.id
    counts = [splits[EVAL].labels["buys"].positives for splits in (other.splits, frozen.splits)]
    assert counts[0] == counts[1] + 1


def freeze_with(context: Context) -> TrainingSet:
    bring_outcomes(context, DAYS[:7], lambda _: None)
    prepare(context, DAYS[:7], lambda _: None)
    return freeze(context, DAYS[:5], DAYS[5:7])


@pytest.mark.slow
def test_an_outcome_that_comes_to_be_known_makes_nothing_stale_and_is_reported(
    spark: SparkSession, home: Home
) -> None:
    context = opened(spark, home, regular_sales(11))
    train(context, DAYS[0], DAYS[6], DAYS[9], compiled=False, on_progress=lambda _: None)
    night = DAYS[10]
    model = model_registry.champion(context.home, context.definition.name)
    run_night(context, NightRequest(ds=night, model=model, who="test"), lambda *_: None)
    assert labelled_metrics(context, night) == {}, "it is not told yet"
    told = opened(spark, home, regular_sales(13))
    prepare(told, [DAYS[11]], lambda _: None)
    later = run_night(told, NightRequest(ds=DAYS[12], model=model, who="test"), lambda *_: None)
    assert later.status == "published"
    before = told.warehouse.version(FEATURES)
    with told.warehouse.held():
        fresh = Freshness(told)
        fresh.look([night])
        assert fresh.features(night).status == "fresh"
    prepare(told, [night], lambda _: None)
    assert told.warehouse.version(FEATURES) == before
    assert labelled_metrics(told, night)["buys"]["rows"] == len(BUYERS)


def test_a_label_shares_the_tiles_of_a_history_that_counts_the_same(
    spark: SparkSession, home: Home
) -> None:
    stream = sales_stream(regular_sales(11))
    bought = History(
        name="bought", stream=stream, keys=("buyer",), on=("user",), value="amount > 0",
        known="told", windows=(3,), aggregates=("sum",),
    )  # fmt: skip
    definition = clicky(stream, histories=(bought,))
    assert len(definition.tilings(stream)) == 1
    context = Context.open(definition, home, spark)
    prepare(context, DAYS[:6], lambda _: None)
    tiles = stream_table("sales", "tiles")
    version = context.warehouse.version(tiles)
    bring_outcomes(context, DAYS[:4], lambda _: None)
    assert context.warehouse.version(tiles) == version, "nothing is left to count"
