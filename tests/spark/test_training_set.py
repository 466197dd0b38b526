"""Promises of a frozen set: nothing leaks, and the same inputs are the same rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from feature_store.definition import Gate, Label
from feature_store.errors import NightscoreError, PartitionNotReady, UsageError
from feature_store.home import Home
from jobs.context import Context
from jobs.night.prepare import prepare
from jobs.training.training_set import TrainingSet, first_day_after_training, freeze, local_path
from tests.toy import EVENTS, TILES, Row, changed, toy_days, toy_definition

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = toy_days(7)
TRAIN, LATER = DAYS[:4], DAYS[4:6]
PER_DAY = 12


def rows(days: int = 6) -> list[Row]:
    """Twelve rows a day: clicks on item i0, known that evening but for the two named here."""
    plain = [
        Row(day=day, user=f"u{u}", item=f"i{i}", clicked=i == 0, click_known=20.0, price=float(u))
        for day in range(days)
        for u in range(4)
        for i in range(3)
    ]
    late = replace(plain[0], click_known=24.0 * 4)  # of day 0, known when evaluation has begun
    unknown = replace(plain[1], clicked=None)
    last = replace(plain[5 * PER_DAY], click_known=24.0 * 9)  # of day 5: evaluated all the same
    return [late, unknown, *plain[2 : 5 * PER_DAY], last, *plain[5 * PER_DAY + 1 :]]


@pytest.fixture(scope="module")
def context(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Six prepared days; the home's name needs decoding."""
    home = Home.of(tmp_path_factory.mktemp("a home") / "50% é")
    definition = toy_definition(rows(), gate=Gate(segments=("item",)))
    made = Context.open(definition, home, spark)
    lines: list[str] = []
    prepared = prepare(made, DAYS[:6], lines.append)
    assert (prepared.written, prepared.rows) == (6, 6 * PER_DAY)
    assert [line.split(",")[0] for line in lines] == [
        f"{EVENTS} 2026-01-01 to 2026-01-06: 6 days written",
        f"{TILES} 2026-01-01 to 2026-01-06: 6 days written",
        "features 2026-01-01 to 2026-01-06: 6 days written",
    ]
    return made


@pytest.fixture(scope="module")
def frozen(context: Context) -> TrainingSet:
    return freeze(context, TRAIN, LATER)


def column(frozen: TrainingSet, split: str, name: str) -> list[object]:
    return pq.read_table(list(frozen.splits[split].files), partitioning=None)[name].to_pylist()


def test_the_last_training_days_are_held_out_and_later_days_are_for_the_gate(
    frozen: TrainingSet,
) -> None:
    assert {name: split.rows for name, split in frozen.splits.items()} == {
        "train": 3 * PER_DAY - 2,
        "valid": PER_DAY,
        "eval": 2 * PER_DAY,
    }
    assert set(column(frozen, "train", "ds")) == set(DAYS[:3])
    assert set(column(frozen, "valid", "ds")) == {DAYS[3]}
    assert set(column(frozen, "eval", "ds")) == set(LATER)
    assert frozen.splits["eval"].labels["clicked"].base_rate == pytest.approx(1 / 3)


def test_a_label_known_only_when_evaluation_began_trains_nothing(
    context: Context, frozen: TrainingSet
) -> None:
    assert frozen.splits["train"].labels["clicked"].positives == 11
    # With one more training day the label of day 0 was known in time.
    later = freeze(context, DAYS[:5], DAYS[5:6])
    assert later.splits["train"].labels["clicked"].positives == 4 * 4


def test_without_evaluation_days_a_label_counts_until_the_day_after_training(
    context: Context, frozen: TrainingSet
) -> None:
    alone = freeze(context, TRAIN, [])
    assert list(alone.splits) == ["train", "valid"]
    assert alone.splits["train"].labels["clicked"].positives == 11
    days = {"train": DAYS[:3], "valid": DAYS[3:4]}
    assert first_day_after_training(context.definition, days) == DAYS[4]
    assert alone.id != frozen.id


def test_columns_are_what_the_trainer_reads_and_segments_are_readable_for_the_gate(
    frozen: TrainingSet,
) -> None:
    names = pq.ParquetFile(frozen.splits["train"].files[0]).schema_arrow.names
    assert names == [
        "ds", "y_clicked", "s_item", "k_user", "k_item", "k_user_item", "v_price",
        "v_item_ctr_mean_2d", "v_item_ctr_count_2d", "v_item_ctr_mean_4d", "v_item_ctr_count_4d",
        "split",
    ]  # fmt: skip
    assert set(column(frozen, "eval", "s_item")) == {"i0", "i1", "i2"}
    assert set(column(frozen, "train", "s_item")) == {None}
    clicked = zip(
        column(frozen, "eval", "s_item"), column(frozen, "eval", "y_clicked"), strict=True
    )
    assert all((item == "i0") == (label == 1.0) for item, label in clicked)


def test_the_same_days_are_the_same_set_and_it_is_not_written_again(
    context: Context, frozen: TrainingSet
) -> None:
    again = freeze(context, list(reversed(TRAIN)), LATER)
    assert again.is_reused
    assert (again.id, again.splits) == (frozen.id, frozen.splits)
    assert context.warehouse.version(f"training_sets/{frozen.id}") == 0


def test_rows_are_shuffled_the_same_way_wherever_they_are_written(
    context: Context, frozen: TrainingSet
) -> None:
    other = Context.open(changed(context.definition, gate=Gate()), context.home, context.spark)
    twin = freeze(other, TRAIN, LATER)
    assert twin.id != frozen.id  # no segments, so other columns
    order = column(frozen, "train", "k_user_item")
    assert column(twin, "train", "k_user_item") == order
    days = column(twin, "train", "ds")
    assert days != sorted(days, key=str)


def test_missing_days_are_named(context: Context) -> None:
    with pytest.raises(PartitionNotReady, match=r"features: missing ds=2026-01-07 .* prepare"):
        freeze(context, TRAIN, DAYS[4:7])


@pytest.mark.parametrize(
    ("train_days", "eval_days", "message"),
    [
        (DAYS[:1], DAYS[1:2], "1 training days, of which validation_days=1"),
        ([], [], "0 training days"),
        (DAYS[:4], DAYS[3:5], "evaluation starts on 2026-01-04, training ends on 2026-01-04"),
    ],
)
def test_a_range_that_cannot_be_split_is_refused(
    context: Context, train_days: list[object], eval_days: list[object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        freeze(context, train_days, eval_days)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("clicked AND NOT clicked", r"label 'clicked' is False in all 34 rows of split train"),
        (
            "CASE WHEN clicked IS NULL THEN clicked END",
            r"split train has no row with a label 'clicked'",
        ),
    ],
)
def test_a_label_that_teaches_nothing_is_told(
    context: Context, expression: str, message: str
) -> None:
    label = Label(name="clicked", expression=expression, known="click")
    other = changed(context.definition, labels=(label,))
    one_class = Context.open(other, context.home, context.spark)
    with pytest.raises(NightscoreError, match=message):
        freeze(one_class, TRAIN, LATER)


def test_file_urls_become_paths_and_other_urls_stay() -> None:
    assert local_path("file:///a%20b/c%25d") == "/a b/c%d"
    assert local_path("s3a://bucket/a%20b") == "s3a://bucket/a%20b"
    assert Path(local_path("/a/b")) == Path("/a/b")


@pytest.mark.slow
# The last: it changes the tables that all tests here share.
def test_a_replaced_day_makes_another_set(context: Context, frozen: TrainingSet) -> None:
    repriced = [replace(r, price=9.0) if r.day == 2 else r for r in rows()]
    definition = toy_definition(repriced, gate=Gate(segments=("item",)))
    corrected = Context.open(definition, context.home, context.spark)
    prepare(corrected, DAYS[:6], lambda _: None)
    assert freeze(corrected, TRAIN, LATER).id != frozen.id
